// A run in which every text that comes from outside is an attack on whoever opens the report.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Each would set `window.pwned`, open a dialog, ask for something, or change how the text around it reads. */
export const PAYLOADS = [
    '<script>window.pwned=1;alert(1)</script>',
    '</script><script>window.pwned=2</script>',
    '<!--<script>window.pwned=3//-->',
    '--><svg onload="window.pwned=4">',
    '<img src=x onerror="window.pwned=5">',
    '"><img src=https://attack.invalid/a.png onerror=alert(6)>',
    "' autofocus onfocus='window.pwned=7' x='",
    '" style="background:url(https://attack.invalid/b.png)" y="',
    '</style><style>*{background:url(https://attack.invalid/c.png)}</style>',
    '</title><script>window.pwned=8</script>',
    '</textarea></pre></details><iframe src="javascript:parent.pwned=9"></iframe>',
    '<a href="javascript:window.pwned=10">here</a>',
    'javascript:window.pwned=11',
    'https://attack.invalid/d.js',
    '<link rel=stylesheet href=//attack.invalid/e.css>',
    '<meta http-equiv=refresh content="0;url=https://attack.invalid/f">',
    '<base href="https://attack.invalid/">',
    '<form action="https://attack.invalid/g"><button formaction="javascript:window.pwned=12">',
    '<object data="https://attack.invalid/h"></object><embed src="//attack.invalid/i">',
    '{{ 7 * 7 }}{% include "/etc/passwd" %}{# gone #}',
    '${window.pwned=13}`${alert(14)}`',
    '&lt;script&gt;window.pwned=15&lt;/script&gt;&#60;img src=x onerror=alert(16)&#62;',
    '\u202egpj.exe\u202c\u2066hidden\u2069\u200b\u200f\ufeff',
    '\u001b[2J\u001b]0;title\u0007\u0000\u0008\r\n\u0085\u2028\u2029',
    '__proto__', 'constructor',
    '</svg><text x="0">outside</text><foreignObject><body onload="window.pwned=17">',
    '\\u003cscript\\u003ewindow.pwned=18\\u003c/script\\u003e',
    '💥é̷̛͔̪'.repeat(8),
    ']]><![CDATA[<script>window.pwned=19</script>]]>',
    '../../../../etc/passwd\\..\\con.txt',
    'x'.repeat(300),
]

/** Keys whose texts are a closed list of words, a time or a number of this program's own. */
const CLOSED = new Set(['attention', 'class', 'concurrency', 'deadline', 'dtype', 'exit', 'fails', 'finish_reason', 'flaky_result', 'isolation', 'kind',
    'logits', 'offload', 'outcome', 'phase', 'placed_by', 'planner', 'precision', 'profile', 'rule', 'snapshot_rule', 'source', 'started_at', 'state',
    'status', 'strategy', 'transfer', 'verdict', 'run_id'])
const DEVICE = /^(cpu|disk|[a-z][a-z0-9_-]*:\d+)$/

/** The same text always becomes the same attack, so that names still fit together. */
function attack(text, used) {
    let hash = 7
    for (const character of text) hash = (hash * 31 + character.codePointAt(0)) >>> 0
    const index = hash % PAYLOADS.length
    used.add(index)
    return `${text.slice(0, 40)} ${PAYLOADS[index]}`
}

function changed(value, key, parents, state) {
    if (typeof value === 'string') {
        const isVerdict = parents.join('.') === 'verdict.cases' && key === 'text'
        if (CLOSED.has(key) || isVerdict || DEVICE.test(value)) return value
        if (key === 'case') return state.cases.get(value) ?? attack(value, state.used)
        return attack(value, state.used)
    }
    if (Array.isArray(value)) return value.map(item => changed(item, key, parents, state))
    if (value === null || typeof value !== 'object') return value
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, changed(item, name, [...parents, key], state)]))
}

/** Writes the attacked copy of the run in `from` into `to`. */
export function writeHostileRun(from, to) {
    const read = name => readFileSync(join(from, name), 'utf8')
    const info = JSON.parse(read('run.json'))
    const state = { used: new Set(), cases: new Map() }
    for (const one of info.cases) {
        const parts = [one.scenario, one.prompt, one.placement].map(part => attack(part, state.used))
        state.cases.set(one.case, parts.join('/'))
    }
    const attempts = read('attempts.jsonl').trimEnd().split('\n').map(line => changed(JSON.parse(line), 'attempt', [], state))
    const long = `${'token'.repeat(20_000)}${PAYLOADS[1]}`
    for (const generation of attempts.find(one => one.generations.length > 0).generations) generation.text += long
    const texts = {
        'run.json': JSON.stringify(changed(info, 'run', [], state)),
        'attempts.jsonl': attempts.map(attempt => JSON.stringify(attempt)).join('\n') + '\n',
        'verdict.json': JSON.stringify(changed(JSON.parse(read('verdict.json')), 'verdict', [], state)),
    }
    mkdirSync(to, { recursive: true })
    for (const [name, text] of Object.entries(texts)) writeFileSync(join(to, name), text)
    const all = Object.values(texts).join('')
    const left = PAYLOADS.filter(payload => !all.includes(JSON.stringify(payload).slice(1, -1)))
    if (left.length > 0) throw new Error(`attacks that are nowhere in the run: ${left.join(' ')}`)
}

/** What a page must not have done, whatever it was made of. */
export async function harmless(page) {
    return page.evaluate(() => {
        const findings = []
        if (window.pwned !== undefined) findings.push(`a text of the run was executed: pwned = ${window.pwned}`)
        const scripts = [...document.scripts].filter(one => !one.type)
        if (scripts.length > 1) findings.push(`${scripts.length} scripts in the page`)
        const foreign = [...document.querySelectorAll('img, iframe, object, embed, link, base, form[action], foreignObject, meta[http-equiv=refresh]')]
        if (foreign.length > 0) findings.push(`an element that no template has: ${foreign[0].outerHTML.slice(0, 120)}`)
        for (const element of document.querySelectorAll('*')) {
            for (const { name, value } of element.attributes) {
                if (name.startsWith('on')) findings.push(`an event handler: ${name}="${value.slice(0, 60)}"`)
                if (/^\s*javascript:/i.test(value) && ['href', 'src', 'action', 'formaction'].includes(name)) findings.push(`a link that runs: ${value.slice(0, 60)}`)
                if (name === 'style' && /url\(/i.test(value)) findings.push(`a style that loads: ${value.slice(0, 60)}`)
            }
        }
        const hidden = document.documentElement.textContent.match(/[\u202a-\u202e\u2066-\u2069\u200b\u200e\u200f\u0000-\u0008\u001b]/u)
        if (hidden) findings.push(`a character that acts is in the page as itself: U+${hidden[0].codePointAt(0).toString(16).padStart(4, '0')}`)
        return findings.slice(0, 10)
    })
}
