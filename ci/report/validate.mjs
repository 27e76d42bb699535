// The Nu Html Checker over files: markup and style sheets.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

/** Messages about these pages that are no mistakes: what must be in the message and in the place it is about, and why. */
const NO_MISTAKES = [
    // Its grammar of CSS is older than browsers are; print needs this one, and older browsers skip the rule.
    [/details-content/, /./],
    // A block of data is never executed, and no policy asks about it (HTML, “prepare the script element”).
    [/Inline script violates Content Security Policy/, /<script type="application\/json"/],
]

/** Findings by file. */
export function validate(files, tools) {
    const jar = join(tools, 'node_modules/vnu-jar/build/dist/vnu.jar')
    const run = spawnSync('java', ['-Xss4m', '-jar', jar, '--format', 'json', '--exit-zero-always', ...files], { encoding: 'utf8', maxBuffer: 1 << 28 })
    if (run.error || run.status !== 0) throw new Error(`the HTML checker did not run: ${run.error ?? run.stderr.slice(0, 2000)}`)
    const { messages } = JSON.parse(run.stderr)
    const found = new Map(files.map(file => [file, new Map()]))
    for (const { type, subType, url, message, extract, lastLine } of messages) {
        if (type === 'info' && subType !== 'warning') continue
        if (NO_MISTAKES.some(([words, place]) => words.test(message) && place.test(extract ?? ' '))) continue
        const file = files.find(file => decodeURIComponent(url ?? '').endsWith(file)) ?? files[0]
        const kinds = found.get(file)
        const one = kinds.get(message) ?? { type: subType ?? type, count: 0, first: `line ${lastLine}: ${(extract ?? '').replace(/\s+/g, ' ')}` }
        kinds.set(message, { ...one, count: one.count + 1 })
    }
    const words = kinds => [...kinds].map(([message, { type, count, first }]) => `${type}: ${message} (${count} times, first at ${first})`)
    return new Map([...found].map(([file, kinds]) => [file, words(kinds)]))
}
