// The runs that pages are made of: the committed example, the frozen sample, an attack, and some later runs for a history.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeHostileRun } from './hostile.mjs'

/** A later run of the same cases; from `slowerFrom` on, everything but the first placement takes half as long again. */
function laterRun(from, to, number, slowerFrom) {
    const info = JSON.parse(readFileSync(join(from, 'run.json'), 'utf8'))
    const id = `20261124T09${String(number).padStart(2, '0')}00Z-${String(number).padStart(4, '0')}`
    const factor = 1 + 0.004 * ((number * 7) % 5)
    const attempts = readFileSync(join(from, 'attempts.jsonl'), 'utf8').trimEnd().split('\n').map(line => {
        const attempt = JSON.parse(line)
        const isSlower = number >= slowerFrom && !attempt.case.includes('single')
        for (const generation of attempt.generations) {
            generation.token_stamps_s = generation.token_stamps_s.map(stamp => stamp * factor * (isSlower ? 1.5 : 1))
        }
        return JSON.stringify(attempt)
    })
    const verdict = JSON.parse(readFileSync(join(from, 'verdict.json'), 'utf8'))
    for (const one of verdict.cases) {
        const isSlower = number >= slowerFrom && !one.case.includes('single')
        for (const metric of ['ttft_s', 'tpot_s', 'e2e_s']) {
            if (one.metrics[metric]) one.metrics[metric] *= factor * (isSlower ? 1.5 : 1)
        }
    }
    mkdirSync(to, { recursive: true })
    writeFileSync(join(to, 'run.json'), JSON.stringify({ ...info, run_id: id, started_at: `2026-11-24T09:${String(number).padStart(2, '0')}:00.000Z` }))
    writeFileSync(join(to, 'attempts.jsonl'), attempts.join('\n') + '\n')
    writeFileSync(join(to, 'verdict.json'), JSON.stringify({ ...verdict, run_id: id }))
}

/** Writes all runs below `out`; the folders by name. */
export function writeRuns(repository, out) {
    rmSync(out, { recursive: true, force: true })
    const copy = (from, to) => {
        mkdirSync(to, { recursive: true })
        for (const name of ['run.json', 'attempts.jsonl', 'verdict.json']) cpSync(join(from, name), join(to, name))
    }
    const example = join(repository, 'reports/example')
    copy(example, join(out, 'example'))
    copy(join(repository, 'harness/report/tests/data/sample-run'), join(out, 'sample'))
    writeHostileRun(example, join(out, 'hostile'))
    for (let number = 1; number <= 12; number += 1) laterRun(example, join(out, 'history', `run-${number}`), number, 8)
    laterRun(join(out, 'hostile'), join(out, 'hostile-later'), 30, 1)
    return { example: join(out, 'example'), sample: join(out, 'sample'), hostile: join(out, 'hostile') }
}
