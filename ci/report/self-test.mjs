// Every check must be able to fail: a sound page passes all looks, and each break on purpose is found by its own words.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { controls } from './controls.mjs'
import { LOOKS } from './look.mjs'
import { validate } from './validate.mjs'

/** A small page with one of everything. */
const SOUND = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>A sound page</title>
<style>:root{color-scheme:light dark}
body{margin:1rem;background:#fff;color:#111;overflow-wrap:anywhere}svg{max-width:100%;height:auto}button,summary{min-height:1.75rem;min-width:1.75rem}
.hover *{fill:transparent}.text{fill:#111}
@media (prefers-color-scheme:dark){body{background:#111;color:#eee}.text{fill:#eee}}
:root[data-theme=light] body{background:#fff;color:#111}:root[data-theme=dark] body{background:#111;color:#eee}
@media print{details::details-content{content-visibility:visible;block-size:auto}}</style></head>
<body><main><h1>One case passed</h1><p><a href="#inside">What is folded</a></p>
<table class="sortable" id="figures"><thead><tr><th scope="col"><span class="name">Time</span></th></tr></thead>
<tbody><tr><td data-v="10">10 ms</td></tr><tr><td data-v="9">9 ms</td></tr><tr><td data-v="">–</td></tr></tbody></table>
<svg class="wide" viewBox="0 0 200 40" width="200" height="40" role="img" aria-label="A chart"><text class="text" x="0" y="20" font-size="12">label</text>
<g class="hover"><path d="M0 24h50v10h-50z"/></g></svg>
<details><summary>More</summary><p id="inside">What was folded.</p></details>
<p id="tip" role="status" hidden></p></main>
<script>
document.documentElement.classList.add('js')
const table = document.getElementById('figures'), head = table.tHead.rows[0].cells[0], body = table.tBodies[0], order = [...body.rows]
const sort = document.createElement('button')
sort.className = 'sort'
sort.textContent = 'sort by time'
head.append(sort)
let state = 0
sort.addEventListener('click', () => {
    state = (state + 1) % 3
    const value = row => row.cells[0].dataset.v === '' ? Infinity : Number(row.cells[0].dataset.v) * (state === 2 ? -1 : 1)
    body.append(...(state === 0 ? order : [...order].sort((a, b) => value(a) - value(b))))
    if (state === 0) head.removeAttribute('aria-sort')
    else head.setAttribute('aria-sort', state === 1 ? 'ascending' : 'descending')
})
const tip = document.getElementById('tip'), region = document.querySelector('.hover > *'), chart = document.querySelector('svg')
chart.setAttribute('tabindex', '0')
const show = () => { tip.textContent = 'a value'; tip.hidden = false }
region.addEventListener('pointerenter', show)
chart.addEventListener('keydown', event => { if (event.key === 'Escape') tip.hidden = true; else show() })
const theme = document.createElement('button')
theme.id = 'theme'
theme.textContent = 'Theme'
const themes = ['light', 'dark', null]
theme.addEventListener('click', () => {
    const next = themes.shift()
    themes.push(next)
    if (next) document.documentElement.dataset.theme = next
    else delete document.documentElement.dataset.theme
})
document.querySelector('main').append(theme)
</script></body></html>
`

/** What is broken, how, the look that must find it, and a word of the finding. */
const BREAKS = [
    ['a heading in a paragraph', page => page.replace('<p><a', '<p><h2>no</h2><a'), 'valid', /p|h2/],
    ['an unknown property', page => page.replace('margin:1rem', 'margn:1rem'), 'valid', /margn/],
    ['a console error', page => page.replace("classList.add('js')", "classList.add('js');console.error('broken')"), 'opens quietly', /console error: broken/],
    ['a warning', page => page.replace("classList.add('js')", "classList.add('js');console.warn('odd')"), 'opens quietly', /console warning: odd/],
    ['an exception', page => page.replace('let state = 0', 'let state = nothing'), 'opens quietly', /uncaught error: nothing/],
    ['a picture from a network', page => page.replace('<main>', '<main><img alt="" src="https://attack.invalid/a.png">'), 'opens quietly', /a request left the file: https:\/\/attack/],
    ['a file beside it', page => page.replace('</head>', '<link rel="stylesheet" href="other.css"></head>'), 'opens quietly', /a request left the file: file/],
    ['a dialog', page => page.replace('let state = 0', 'let state = 0; alert(1)'), 'opens quietly', /a dialog opened/],
    ['an executed text', page => page.replace('let state = 0', 'let state = 0; window.pwned = 5'), 'opens quietly', /pwned = 5/],
    ['an event handler', page => page.replace('<h1>', '<h1 onclick="0">'), 'opens quietly', /an event handler: onclick/],
    ['a bidirectional control', page => page.replace('One case', 'One \u202ecase'), 'opens quietly', /U\+202e/],
    ['a wide block', page => page.replace('<h1>', '<div style="width:400px">wide</div><h1>'), 'fits every width', /^(320|360) px: the document scrolls sideways: div/],
    ['a block too wide at twice the text', page => page.replace('<h1>', '<div style="width:45rem;max-width:none">wide</div><h1>').replace('body{', '@media (max-width:59rem){div{display:none}}body{'), 'fits every width', /text at 200%: the document scrolls/],
    ['a cut text', page => page.replace('<h1>', '<p style="width:3rem;overflow:hidden;white-space:nowrap">a long sentence that is cut</p><h1>'), 'fits every width', /cut off: p/],
    ['a label outside', page => page.replace('x="0" y="20"', 'x="190" y="20"'), 'fits every width', /a label outside its picture/],
    ['labels on each other', page => page.replace('</text>', '</text><text class="text" x="10" y="22" font-size="12">other</text>'), 'fits every width', /labels on each other/],
    ['a tiny button', page => page.replace('min-height:1.75rem;min-width:1.75rem', 'height:9px;padding:0;font-size:8px'), 'fits every width', /too small to hit/],
    ['pale text', page => page.replace('<h1>', '<p style="color:#999;background:#fff">pale</p><h1>'), 'contrast and accessibility', /light: contrast 2\.8/],
    ['text that is pale in the dark', page => page.replace('.text{fill:#eee}', '.text{fill:#333}'), 'contrast and accessibility', /dark: contrast .* in a chart/],
    ['a label on a dark bar', page => page.replace('<text', '<rect width="200" height="30" fill="#222"/><text'), 'contrast and accessibility', /light: contrast .* on #222222/],
    ['a picture without words', page => page.replace(' role="img" aria-label="A chart"', ' role="img"'), 'contrast and accessibility', /svg-img-alt/],
    ['a control that does nothing without script', page => page.replace('<h1>', '<button>dead</button><h1>'), 'reads without script', /controls are shown that do nothing/],
    ['what only a script shows', page => page.replace('<table', '<table hidden'), 'reads without script', /parts are hidden/],
    ['folded on paper', page => page.replace(/@media print\{.*\}\}/, ''), 'prints', /folded parts are not printed, first “More”/],
    ['motion', page => page.replace('.hover *{', 'h1{transition:color 2s}.hover *{'), 'forced colours, no motion', /still move, first h1/],
    ['numbers sorted as words', page => page.replace('Number(row.cells[0].dataset.v)', "Number('0.' + row.cells[0].dataset.v)"), 'controls', /sort: .*comes before/],
    ['missing values first', page => page.replace('Infinity', '-Infinity'), 'controls', /a missing value is not last/],
    ['an order that does not come back', page => page.replace('state === 0 ? order', 'state === 9 ? order'), 'controls', /order of the run does not come back/],
    ['a silent region', page => page.replace("addEventListener('pointerenter', show)", "addEventListener('never', show)"), 'controls', /pointing at a region shows nothing/],
    ['a deaf chart', page => page.replace("else show()", ''), 'controls', /an arrow key on a chart shows nothing/],
    ['a theme that changes nothing', page => page.replace(':root[data-theme=dark] body{background:#111;color:#eee}', ':root[data-theme=dark] body{background:#fff;color:#111}'), 'controls', /light and dark look the same/],
    ['a link to nothing', page => page.replace('#inside', '#gone'), 'controls', /lead nowhere, first #gone/],
]

/** Hands that reach into a real report while it is used, the control they spoil, and a word of the finding. */
const SPOILED = [
    ['a row that is never filtered out', () => setInterval(() => { for (const row of document.querySelectorAll('#cases tr[data-case]')) row.hidden = false }, 1), /filter: .*cases are left/],
    ['a count that is never right', () => setInterval(() => { const count = document.getElementById('filter-count'); if (count) count.textContent = 'some cases' }, 1), /filter: .*does not say/],
    ['a filter that is sent off', () => document.addEventListener('submit', event => { event.stopImmediatePropagation(); location.search = '?sent' }, true), /sent off|\?sent/],
    ['twins that stay apart', () => document.addEventListener('change', event => event.stopImmediatePropagation(), true), /compare: /],
    ['a panel that Escape does not close', () => document.addEventListener('cancel', event => event.preventDefault(), true) || document.addEventListener('keydown', event => { if (event.key === 'Escape') { event.preventDefault(); event.stopImmediatePropagation() } }, true), /compare: Escape does not close/],
    ['a table that is not sorted', () => document.addEventListener('click', event => { if (event.target.closest?.('button.sort')) event.stopImmediatePropagation() }, true), /sort: .*aria-sort/],
    ['a theme that stays', () => document.addEventListener('click', event => { if (event.target.id === 'theme') event.stopImmediatePropagation() }, true), /theme: after a click/],
]

/** As {@link selfTest}, with a report that has controls. */
export async function spoiltReport(browser, file) {
    const findings = []
    for (const [what, hand, words] of SPOILED) {
        const found = await controls(browser, file, 'report', page => page.addInitScript(hand))
        if (!found.some(finding => words.test(finding))) findings.push(`${what}: not found, only: ${found.join(' | ') || 'nothing'}`)
    }
    return findings
}

/** What the checks did not find, or found where nothing is. */
export async function selfTest(browser, tools, out) {
    mkdirSync(out, { recursive: true })
    const findings = []
    const write = (name, text) => {
        const file = join(out, `${name.replace(/[^a-z]+/g, '-')}.html`)
        writeFileSync(file, text)
        return file
    }
    const sound = write('sound', SOUND)
    const broken = BREAKS.map(([what, change, title, words]) => {
        const text = change(SOUND)
        if (text === SOUND) findings.push(`${what}: the break changes nothing`)
        return { what, title, words, file: write(what, text) }
    })
    const valid = validate([sound, ...broken.filter(({ title }) => title === 'valid').map(({ file }) => file)], tools)
    findings.push(...valid.get(sound).map(finding => `a sound page: ${finding}`))
    const look = (title, file) => LOOKS.find(([name]) => name === title)[1]({ browser, file, kind: 'small', tools, picture: what => join(out, `${what}.png`) })
    for (const [title] of LOOKS) findings.push(...(await look(title, sound)).map(finding => `a sound page, ${title}: ${finding}`))
    for (const { what, title, words, file } of broken) {
        const found = title === 'valid' ? valid.get(file) : await look(title, file)
        if (!found.some(finding => words.test(finding))) findings.push(`${what}: not found by “${title}”, which says: ${found.join(' | ') || 'nothing'}`)
    }
    return findings
}
