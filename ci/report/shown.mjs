// The ways a page can be shown: without script, on paper, in both schemes, with forced colours, without motion.
import { statSync } from 'node:fs'
import { accessibility } from './accessibility.mjs'
import { open, settled, unfold } from './browser.mjs'
import { contrast } from './contrast.mjs'

/** Both schemes: contrast, axe, and a picture of each. */
export async function schemes(browser, file, tools, picture) {
    const findings = []
    for (const colorScheme of ['light', 'dark']) {
        const { context, page, events } = await open(browser, file, { colorScheme })
        await page.screenshot({ path: picture(colorScheme) })
        await unfold(page)
        await settled(page)
        const found = [...await contrast(page), ...await accessibility(page, tools)]
        findings.push(...[...found, ...events].map(finding => `${colorScheme}: ${finding}`))
        // Charts for small screens are other drawings.
        await page.setViewportSize({ width: 360, height: 780 })
        await settled(page)
        findings.push(...(await contrast(page)).map(finding => `${colorScheme}, 360 px: ${finding}`))
        await page.evaluate(() => { document.querySelectorAll('details').forEach(one => { one.open = false }); scrollTo(0, 0) })
        await page.screenshot({ path: picture(`${colorScheme}-360`) })
        await context.close()
    }
    return findings
}

/** Without script everything is there, and nothing that would need one. */
export async function withoutScript(browser, file) {
    const { context, page, events } = await open(browser, file, { javaScriptEnabled: false })
    const findings = [...events]
    await unfold(page)
    findings.push(...await page.evaluate(() => {
        const seen = element => element.checkVisibility({ visibilityProperty: true, opacityProperty: true })
        const found = []
        if (![...document.querySelectorAll('h1')].some(seen)) found.push('no heading is shown')
        // A box whose style alone shows and hides: to tick it changes how its surroundings look.
        const acts = element => {
            if (element.type !== 'checkbox') return false
            const looks = () => [...element.closest('label')?.parentElement?.parentElement?.querySelectorAll('*') ?? []]
                .map(one => getComputedStyle(one).backgroundColor).join()
            const before = looks()
            element.checked = !element.checked
            const after = looks()
            element.checked = !element.checked
            return before !== after
        }
        const dead = [...document.querySelectorAll('button, input, select, dialog[open]')].filter(one => seen(one) && !acts(one))
        if (dead.length > 0) found.push(`${dead.length} controls are shown that do nothing, first ${dead[0].outerHTML.slice(0, 80)}`)
        const hidden = [...document.querySelectorAll('main section, main article, main table, main figure, main pre')].filter(one => !seen(one))
        if (hidden.length > 0) found.push(`${hidden.length} parts are hidden, first ${hidden[0].outerHTML.slice(0, 80)}`)
        return found
    }))
    await context.close()
    return findings.map(finding => `without script: ${finding}`)
}

/** Paper: what is folded is printed, and pages come out. */
export async function paper(browser, file, pdf) {
    const { context, page } = await open(browser, file)
    const findings = []
    await page.emulateMedia({ media: 'print' })
    await settled(page)
    const hidden = await page.evaluate(() => [...document.querySelectorAll('main details')].filter(one => {
        const inside = [...one.children].find(child => child.tagName !== 'SUMMARY')
        return inside && !inside.hidden && !inside.checkVisibility({ contentVisibilityAuto: true, visibilityProperty: true })
    }).map(one => one.querySelector('summary')?.textContent.trim().slice(0, 60) ?? ''))
    if (hidden.length > 0) findings.push(`${hidden.length} folded parts are not printed, first “${hidden[0]}”`)
    await page.pdf({ path: pdf, format: 'A4', printBackground: true })
    if (statSync(pdf).size < 5000) findings.push('the printed document is empty')
    await context.close()
    return findings.map(finding => `print: ${finding}`)
}

/** Forced colours stay readable; who wants no motion sees none. */
export async function preferences(browser, file, picture) {
    const findings = []
    const forced = await open(browser, file, { forcedColors: 'active' })
    await unfold(forced.page)
    findings.push(...(await contrast(forced.page)).map(finding => `forced colours: ${finding}`))
    await forced.page.screenshot({ path: picture('forced-colours') })
    await forced.context.close()
    const still = await open(browser, file, { reducedMotion: 'reduce' })
    const moving = await still.page.evaluate(() => [...document.querySelectorAll('*')].filter(element => {
        const { animationName, animationDuration, transitionDuration } = getComputedStyle(element)
        const lasts = durations => durations.split(',').some(one => parseFloat(one) > 0.01)
        return (animationName !== 'none' && lasts(animationDuration)) || lasts(transitionDuration)
    }).map(element => `${element.tagName.toLowerCase()}.${element.getAttribute('class') ?? ''}`))
    if (moving.length > 0) findings.push(`reduced motion: ${moving.length} elements still move, first ${moving[0]}`)
    await still.context.close()
    return findings
}
