// Chromium without a screen, and a page in it that is watched: what it says, asks for and opens.
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** Where Chromium is: `CHROMIUM`, or the first of its usual names on `PATH`. */
export function chromiumPath() {
    if (process.env.CHROMIUM) return process.env.CHROMIUM
    const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
    const folders = (process.env.PATH ?? '').split(delimiter)
    return names.flatMap(name => folders.map(folder => join(folder, name))).find(path => existsSync(path))
}

/** Starts Chromium with no way to a network: no name resolves, and nothing is asked on its own account. */
export function launch(chromium) {
    const quiet = ['--host-resolver-rules=MAP * ~NOTFOUND', '--disable-background-networking', '--disable-component-update',
        '--disable-sync', '--no-first-run']
    // Its sandbox cannot be made by root, which is who runs checks in a container.
    const isRoot = process.getuid?.() === 0
    return chromium.launch({ executablePath: chromiumPath(), args: isRoot ? [...quiet, '--no-sandbox'] : quiet })
}

/**
 * Opens a file and notes what it must not do. `events` fills while the page is used; close `context` when done.
 * Options are Playwright's for a context: viewport, colorScheme, javaScriptEnabled, …
 */
export async function open(browser, file, options = {}) {
    const { before, ...rest } = options
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, offline: true, ...rest })
    const page = await context.newPage()
    const events = []
    const own = pathToFileURL(file).href
    page.on('console', message => {
        if (['error', 'warning', 'assert'].includes(message.type())) events.push(`console ${message.type()}: ${message.text()}`)
    })
    page.on('pageerror', error => events.push(`uncaught error: ${error.message}`))
    page.on('dialog', dialog => {
        events.push(`a dialog opened: ${dialog.message()}`)
        return dialog.dismiss()
    })
    page.on('popup', popup => events.push(`a window opened: ${popup.url()}`))
    page.on('request', request => {
        const url = request.url()
        if (url !== own && !url.startsWith(`${own}#`)) events.push(`a request left the file: ${url.slice(0, 200)}`)
    })
    if (before) await before(page)
    await page.goto(own, { waitUntil: 'load' })
    return { context, page, events }
}

/** Opens every `<details>`, so that what is folded is looked at too. */
export const unfold = page => page.evaluate(() => document.querySelectorAll('details').forEach(one => { one.open = true }))

/** Two frames later, when what was changed is laid out and painted. */
export const settled = page => page.evaluate(() =>
    new Promise(done => { requestAnimationFrame(() => requestAnimationFrame(() => done())) }))
