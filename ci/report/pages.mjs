// The pages that are looked at, rendered by the program itself from stored runs.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'

function placebench(binary, folder, ...args) {
    const run = spawnSync(binary, args, { encoding: 'utf8', maxBuffer: 1 << 28, cwd: folder })
    if (run.error) throw run.error
    return run
}

/** Pages by name: `{ name, kind, file }`. Throws where the program cannot render one that it offers. */
export function renderPages(binary, runs, extra, out) {
    mkdirSync(out, { recursive: true })
    const pages = []
    const must = (run, what) => {
        if (run.status !== 0) throw new Error(`${what} ended with ${run.status}: ${run.stderr}`)
    }
    for (const [name, run] of [...Object.entries(runs), ...extra]) {
        const folder = join(out, name)
        must(placebench(binary, out, 'report', run, '--output-dir', folder), `report of ${name}`)
        pages.push({ name, kind: 'report', file: join(folder, 'report.html') })
    }
    const trend = (name, folders) => {
        const store = join(out, name)
        mkdirSync(store, { recursive: true })
        const database = join(store, 'history.sqlite')
        const file = join(store, 'trend.html')
        must(placebench(binary, out, 'history', 'import', ...folders, '--database', database), `history import of ${name}`)
        placebench(binary, out, 'history', 'trend', '--database', database, '--format', 'html', '--output', file)
        if (!existsSync(file)) throw new Error(`history trend wrote no ${file}`)
        pages.push({ name, kind: 'trend', file })
    }
    const later = Array.from({ length: 12 }, (_, index) => join(runs.example, '../history', `run-${index + 1}`))
    trend('trend', later)
    trend('trend-hostile', [runs.hostile, join(runs.hostile, '../hostile-later')])
    if (placebench(binary, out, 'compare', '--help').stdout.includes('html')) {
        for (const [name, base, next] of [
            ['compare', later[0], later[11]],
            ['compare-hostile', runs.hostile, join(runs.hostile, '../hostile-later')],
        ]) {
            const file = join(out, name, 'compare.html')
            mkdirSync(join(out, name), { recursive: true })
            const run = placebench(binary, out, 'compare', base, next, '--format', 'html', '--output', file)
            if (!existsSync(file)) throw new Error(`compare wrote no ${file}: ${run.stderr}`)
            pages.push({ name, kind: 'compare', file })
        }
    }
    return pages
}
