// What the page's script adds: sorting, filtering, comparing, pointing, themes, and links into what is folded.
import { pathToFileURL } from 'node:url'
import { open, settled } from './browser.mjs'

/** Each control with the hook it is found by: a page has it where the hook is there. */
const CHECKS = [
    ['sort', 'table.sortable', sort],
    ['filter', '#filter', filter],
    ['compare', 'input.pick', compare],
    ['point', 'svg.wide .hover > *', point],
    ['theme', '#theme', theme],
    ['links', 'a[href^="#"]', links],
]

/** Hooks a page of several cases or series must have, once it has a script. */
const REQUIRED = {
    report: ['table.sortable', '#filter', 'input.pick', '#theme'],
    trend: ['table.sortable', '#theme'],
    compare: ['table.sortable', '#theme'],
}

/** What the controls of a page do not do. `before` may reach into the page, to see that it is found. */
export async function controls(browser, file, kind, before) {
    const { context, page, events } = await open(browser, file, { before })
    page.setDefaultTimeout(before ? 1000 : 5000)
    page.setDefaultNavigationTimeout(30000)
    const findings = []
    const has = hook => page.evaluate(hook => document.querySelector(hook) !== null, hook)
    const hasScript = await has('script:not([type])')
    if (REQUIRED[kind] && !hasScript) findings.push('the page has no script')
    if (REQUIRED[kind] && hasScript) {
        for (const hook of REQUIRED[kind]) if (!(await has(hook))) findings.push(`no ${hook} in the page`)
        if (!(await has('html.js'))) findings.push('the script did not run: html has no class js')
    }
    for (const [name, hook, check] of CHECKS) {
        if (!(await has(hook))) continue
        const found = await check(page).catch(error => [`cannot be used: ${error.message.split('\n')[0]}`])
        findings.push(...found.map(finding => `${name}: ${finding}`))
        // Opened anew: a reload would scroll back to where it was, whenever it is done, and scrolling hides what is shown.
        await page.goto(pathToFileURL(file).href)
    }
    await context.close()
    return [...findings, ...events]
}

/** Clicks every sort button three times and looks at the order of its column. */
async function sort(page) {
    await page.evaluate(() => document.querySelectorAll('details').forEach(one => { one.open = true }))
    return page.evaluate(async () => {
        const findings = []
        const rows = (table, column) => [...table.tBodies[0].rows].filter(row => !row.hidden).map(row => row.cells[column])
        for (const table of document.querySelectorAll('table.sortable')) {
            const name = table.id || table.caption?.textContent.trim().slice(0, 40) || 'a table'
            const before = [...table.tBodies[0].rows]
            const buttons = [...table.querySelectorAll('thead th button.sort')]
            if (buttons.length === 0) findings.push(`${name} has no button to sort by`)
            for (const button of buttons) {
                const head = button.closest('th')
                const column = head.cellIndex
                for (const direction of ['ascending', 'descending']) {
                    button.click()
                    if (head.getAttribute('aria-sort') !== direction) findings.push(`${name}, ${button.textContent}: aria-sort is not ${direction}`)
                    const cells = rows(table, column)
                    // A column that has values to sort by is sorted by them, any other by its words.
                    const hasValues = cells.some(cell => cell.dataset.v !== undefined)
                    const text = cell => ((hasValues ? cell.dataset.v : cell.textContent) ?? '').trim()
                    const missing = cell => ['', '–'].includes(text(cell))
                    const firstMissing = cells.findIndex(missing)
                    if (firstMissing >= 0 && !cells.slice(firstMissing).every(missing)) findings.push(`${name}, ${button.textContent}, ${direction}: a missing value is not last`)
                    const values = cells.filter(cell => !missing(cell)).map(text)
                    const numbers = values.map(Number)
                    const isNumeric = numbers.every(Number.isFinite)
                    const sign = direction === 'ascending' ? 1 : -1
                    const wrong = values.findIndex((value, index) => index > 0 && sign * (isNumeric
                        ? numbers[index] - numbers[index - 1]
                        : value.localeCompare(values[index - 1], undefined, { numeric: true, sensitivity: 'base' })) < 0)
                    if (wrong > 0) findings.push(`${name}, ${button.textContent}, ${direction}: “${values[wrong - 1]}” comes before “${values[wrong]}”`)
                }
                button.click()
                if (head.hasAttribute('aria-sort')) findings.push(`${name}, ${button.textContent}: a third click does not end sorting`)
                if (before.some((row, index) => row !== table.tBodies[0].rows[index])) findings.push(`${name}, ${button.textContent}: the order of the run does not come back`)
            }
        }
        return findings
    })
}

/** The words and the toggles of the filter, against the page's own data. */
async function filter(page) {
    const findings = []
    const data = JSON.parse(await page.locator('#data').textContent())
    const shown = () => page.evaluate(() => [...new Set([...document.querySelectorAll('#cases tr[data-case]')].filter(row => !row.hidden).map(row => row.dataset.case))])
    const count = () => page.locator('#filter-count').textContent()
    const all = data.cases.length
    const expect = async (what, cases) => {
        await settled(page)
        const rows = new Set(await shown())
        const wanted = new Set(cases.map(one => one.anchor))
        const differs = rows.size !== wanted.size || [...wanted].some(anchor => !rows.has(anchor))
        if (differs) findings.push(`${what}: ${rows.size} cases are left, expected ${wanted.size}`)
        if (!(await count()).includes(`${wanted.size} of ${all}`)) findings.push(`${what}: “${await count()}” does not say ${wanted.size} of ${all}`)
        const sections = await page.evaluate(() => [...document.querySelectorAll('article.case')].filter(one => !one.hidden && !one.closest('[hidden]')).map(one => one.id))
        const extra = sections.filter(anchor => !wanted.has(anchor))
        if (extra.length > 0) findings.push(`${what}: ${extra.length} cases below are still shown`)
    }
    for (const status of new Set(data.cases.map(one => one.status))) {
        const toggle = page.locator(`button.toggle[data-status="${status}"]`)
        await toggle.click()
        if (await toggle.getAttribute('aria-pressed') !== 'true') findings.push(`${status}: aria-pressed is not true`)
        await expect(`only ${status}`, data.cases.filter(one => one.status === status))
        await toggle.click()
    }
    const problems = ['failed', 'setup', 'flaky', 'pending']
    const kinds = [['problems', one => problems.includes(one.status)], ['differing', one => one.differs]]
    for (const [kind, isWanted] of kinds) {
        const toggle = page.locator(`#filter-${kind}`)
        const wanted = data.cases.filter(isWanted)
        // A toggle that would leave nothing is not there.
        if (await toggle.count() === 0 && wanted.length === 0) continue
        await toggle.click()
        await expect(`only ${kind}`, wanted)
        await toggle.click()
    }
    await page.locator('#filter-text').fill(data.cases[0].scenario)
    await page.locator('#filter-clear').click()
    if (await page.evaluate(() => document.activeElement?.id) !== 'filter-text') findings.push('after clearing, focus is not in the search box')
    const word = data.cases.at(-1).placement.toLowerCase()
    await page.locator('#filter-text').fill(`no-such-case-${word}`)
    await expect('words that nothing has', [])
    await page.locator('#filter-clear').click()
    if ((await shown()).length !== all) findings.push('after clearing, cases are still hidden')
    await page.locator('#filter-text').fill(word)
    await settled(page)
    const rows = new Set(await shown())
    const missed = data.cases.filter(one => one.case.toLowerCase().includes(word) && !rows.has(one.anchor))
    if (missed.length > 0) findings.push(`“${word}”: ${missed.length} cases of that name are hidden`)
    await page.keyboard.press('Enter')
    if (new URL(page.url()).search !== '') findings.push('the filter was sent off as a form')
    return findings
}

/** Two ticked cases side by side, and the way back. */
async function compare(page) {
    const findings = []
    const anchors = await page.evaluate(() => [...new Set([...document.querySelectorAll('input.pick')].map(one => one.dataset.of))].slice(0, 2))
    if (anchors.length < 2) return findings
    const visible = id => page.locator(id).isVisible()
    if (await visible('#compare-bar')) findings.push('the bar is there while nothing is ticked')
    const tick = anchor => page.evaluate(anchor => document.querySelector(`input.pick[data-of="${anchor}"]`).click(), anchor)
    await tick(anchors[0])
    const twins = await page.evaluate(anchor => [...document.querySelectorAll(`input.pick[data-of="${anchor}"]`)].every(one => one.checked), anchors[0])
    if (!twins) findings.push('ticking a case does not tick its twins')
    if (!(await visible('#compare-bar'))) findings.push('the bar does not come')
    if (!(await page.locator('#compare-open').isDisabled())) findings.push('one case can be compared with nothing')
    await tick(anchors[1])
    await page.locator('#compare-open').click()
    if (!(await visible('dialog#compare'))) findings.push('the panel does not open')
    const columns = await page.evaluate(() => document.querySelectorAll('dialog#compare table thead th[scope=col]').length)
    if (columns < 2) findings.push(`the panel has ${columns} columns for 2 cases`)
    const wide = await page.evaluate(() => { const box = document.querySelector('dialog#compare'); return box.scrollWidth > box.clientWidth + 1 })
    if (wide) findings.push('the panel scrolls sideways')
    const twice = await page.evaluate(() => { const ids = [...document.querySelectorAll('[id]')].map(one => one.id); return ids.length - new Set(ids).size })
    if (twice > 0) findings.push(`${twice} ids are in the page twice while the panel is open`)
    await page.keyboard.press('Escape')
    if (await visible('dialog#compare')) {
        findings.push('Escape does not close the panel')
        await page.evaluate(() => document.querySelector('dialog#compare').close())
    }
    if (await page.evaluate(() => document.activeElement?.id) !== 'compare-open') findings.push('after closing, focus is lost')
    await page.locator('#compare-clear').click()
    if (await visible('#compare-bar')) findings.push('the bar stays after clearing')
    return findings
}

/** A region tells its value to a pointer and to the keyboard. */
async function point(page) {
    const findings = []
    // The menu of prompts would lie over the charts.
    await page.evaluate(() => document.querySelectorAll('details:not(#prompts)').forEach(one => { one.open = true }))
    const region = page.locator('svg.wide .hover > *').first()
    await region.scrollIntoViewIfNeeded()
    // Scrolling hides what was shown; the browser tells of it a frame later.
    await settled(page)
    const tip = page.locator('#tip')
    await region.hover({ force: true })
    const pointed = (await tip.textContent())?.trim()
    if (!pointed || !(await tip.isVisible())) findings.push('pointing at a region shows nothing')
    const inWindow = await tip.evaluate(one => { const { left, right } = one.getBoundingClientRect(); return left >= 0 && right <= innerWidth })
    if (!inWindow) findings.push('what is shown leaves the window')
    await page.mouse.move(0, 0)
    await tip.evaluate(one => { one.textContent = '' })
    const chart = page.locator('svg.wide', { has: page.locator('.hover') }).first()
    await chart.focus()
    await settled(page)
    await page.keyboard.press('ArrowRight')
    const walked = (await tip.textContent())?.trim()
    if (!walked || !(await tip.isVisible())) findings.push('an arrow key on a chart shows nothing')
    await page.keyboard.press('End')
    const last = (await tip.textContent())?.trim()
    const regions = await chart.locator('.hover > *').count()
    if (regions > 2 && last === walked) findings.push('End does not go to the last region')
    await page.keyboard.press('Escape')
    if (await tip.isVisible()) findings.push('Escape does not hide it')
    return findings
}

/** Auto, light, dark, and auto again; each changes what is seen. */
async function theme(page) {
    const findings = []
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor)
    const grounds = {}
    for (const expected of ['light', 'dark', null]) {
        await page.locator('#theme').click()
        const now = await page.evaluate(() => document.documentElement.getAttribute('data-theme'))
        if (now !== expected) findings.push(`after a click the theme is ${now}, expected ${expected}`)
        grounds[expected] = await ground()
    }
    if (grounds.light === grounds.dark) findings.push('light and dark look the same')
    return findings
}

/** Every link within the page has a target, and following one shows it, also where it is folded. */
async function links(page) {
    const findings = []
    const dangling = await page.evaluate(() => [...document.querySelectorAll('a[href^="#"]')]
        .map(one => one.getAttribute('href').slice(1)).filter(id => !document.getElementById(decodeURIComponent(id))))
    if (dangling.length > 0) findings.push(`${dangling.length} links lead nowhere, first #${dangling[0]}`)
    const targets = await page.evaluate(() => [...new Set([...document.querySelectorAll('a[href^="#"]')].map(one => one.getAttribute('href').slice(1)))]
        .filter(id => document.getElementById(id)?.closest('details:not([open])')).slice(0, 3))
    for (const id of targets) {
        await page.evaluate(id => { location.hash = ''; location.hash = id }, id)
        await settled(page)
        if (!(await page.evaluate(id => document.getElementById(id).checkVisibility(), id))) findings.push(`#${id} stays folded when a link to it is followed`)
    }
    return findings
}
