// Everything that is looked at on one page.
import { join } from 'node:path'
import { open, settled } from './browser.mjs'
import { controls } from './controls.mjs'
import { harmless } from './hostile.mjs'
import { layout } from './layout.mjs'
import { paper, preferences, schemes, withoutScript } from './shown.mjs'

/** Opens it as a person would: nothing is said, asked for or executed. */
async function opened(browser, file) {
    const { context, page, events } = await open(browser, file)
    await settled(page)
    const findings = [...await harmless(page), ...events]
    await context.close()
    return findings
}

async function fits(browser, file) {
    const { context, page, events } = await open(browser, file)
    const findings = await layout(page)
    await context.close()
    return [...findings, ...events]
}

/** Name of each look, and how it is done. */
export const LOOKS = [
    ['opens quietly', ({ browser, file }) => opened(browser, file)],
    ['fits every width', ({ browser, file }) => fits(browser, file)],
    ['contrast and accessibility', ({ browser, file, tools, picture }) => schemes(browser, file, tools, picture)],
    ['reads without script', ({ browser, file }) => withoutScript(browser, file)],
    ['prints', ({ browser, file, picture }) => paper(browser, file, picture('print').replace(/png$/, 'pdf'))],
    ['forced colours, no motion', ({ browser, file, picture }) => preferences(browser, file, picture)],
    ['controls', ({ browser, file, kind }) => controls(browser, file, kind)],
]

/** Findings by look. */
export async function look(browser, { name, kind, file }, tools, pictures) {
    const picture = what => join(pictures, `${name}-${what}.png`)
    const found = []
    for (const [title, doLook] of LOOKS) {
        const start = performance.now()
        const findings = await doLook({ browser, file, kind, tools, picture })
            .catch(error => [`could not be looked at: ${error.message.split('\n').slice(0, 3).join(' ')}`])
        found.push({ title, findings, seconds: (performance.now() - start) / 1000 })
    }
    return found
}
