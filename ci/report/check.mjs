// Looks at pages in a real browser and validates them: see ../check-report.sh.
//   node check.mjs --tools DIR --out DIR --repository DIR --binary FILE [--run NAME=FOLDER]… [--page FILE]… [--only NAME]
import { mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { launch } from './browser.mjs'
import { look } from './look.mjs'
import { renderPages } from './pages.mjs'
import { writeRuns } from './runs.mjs'
import { selfTest, spoiltReport } from './self-test.mjs'
import { validate } from './validate.mjs'

const { values } = parseArgs({
    options: {
        tools: { type: 'string' }, out: { type: 'string' }, repository: { type: 'string' }, binary: { type: 'string' },
        run: { type: 'string', multiple: true, default: [] }, page: { type: 'string', multiple: true, default: [] },
        only: { type: 'string', multiple: true, default: [] },
    },
})
const tools = resolve(values.tools)
const out = resolve(values.out)
const { chromium } = createRequire(join(tools, 'node_modules/'))('playwright-core')
let failed = 0

function say(title, findings, seconds) {
    const time = `${seconds.toFixed(1)} s`
    if (findings.length === 0) {
        console.log(`ok      ${title} (${time})`)
        return
    }
    failed += 1
    console.log(`FAILED  ${title} (${time})`)
    for (const finding of findings) console.log(`          ${finding.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/gu, '·').slice(0, 600)}`)
}

function pagesToLookAt() {
    if (values.page.length > 0) return values.page.map(file => ({ name: basename(resolve(file, '..')), kind: basename(file, '.html'), file: resolve(file) }))
    const extra = values.run.map(pair => {
        const at = pair.indexOf('=')
        return [pair.slice(0, at), resolve(pair.slice(at + 1))]
    })
    const runs = writeRuns(resolve(values.repository), join(out, 'runs'))
    return renderPages(resolve(values.binary), runs, extra, join(out, 'pages'))
}

const pictures = join(out, 'pictures')
rmSync(pictures, { recursive: true, force: true })
mkdirSync(pictures, { recursive: true })
const browser = await launch(chromium)
console.log(`Chromium ${browser.version()}`)
try {
    if (values.only.length === 0 || values.only.includes('self-test')) {
        const start = performance.now()
        say('the checks find what is broken on purpose', await selfTest(browser, tools, join(out, 'broken')), (performance.now() - start) / 1000)
    }
    const pages = pagesToLookAt().filter(({ name }) => values.only.length === 0 || values.only.includes(name))
    const report = pages.find(({ kind, file }) => kind === 'report' && readFileSync(file, 'utf8').includes('id="data"'))
    if (report) {
        const start = performance.now()
        say(`the checks find what is spoiled in ${report.name}`, await spoiltReport(browser, report.file), (performance.now() - start) / 1000)
    }
    const start = performance.now()
    const valid = pages.length > 0 ? validate(pages.map(({ file }) => file), tools) : new Map()
    const seconds = (performance.now() - start) / 1000 / Math.max(pages.length, 1)
    for (const page of pages) {
        say(`${page.name}: valid HTML and CSS`, valid.get(page.file), seconds)
        for (const { title, findings, seconds } of await look(browser, page, tools, pictures)) say(`${page.name}: ${title}`, findings, seconds)
    }
} finally {
    await browser.close()
}
console.log(`pictures to look at, in ${pictures}:\n  ${readdirSync(pictures).sort().join('\n  ')}`)
if (failed > 0) {
    console.error(`check-report: ${failed} looks failed`)
    process.exitCode = 1
}
