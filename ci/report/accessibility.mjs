// axe-core's rules for WCAG 2.0 to 2.2, levels A and AA.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']

/** Findings of the page as it is shown now: the rule, what it asks for, and the first elements. */
export async function accessibility(page, tools) {
    if (!(await page.evaluate(() => 'axe' in globalThis))) {
        // The page's own policy forbids a script element; the driver's evaluation is not the page's.
        await page.evaluate(readFileSync(join(tools, 'node_modules/axe-core/axe.min.js'), 'utf8'))
    }
    const { violations } = await page.evaluate(tags =>
        globalThis.axe.run(document, { runOnly: { type: 'tag', values: tags }, resultTypes: ['violations'] }), TAGS)
    // Contrast of labels in charts is computed in contrast.mjs: this rule looks at `color`, and SVG paints with `fill`.
    const judged = violations.map(({ id, help, nodes }) =>
        ({ id, help, nodes: id === 'color-contrast' ? nodes.filter(node => !/^<(text|tspan|svg)\b/.test(node.html)) : nodes }))
    return judged.filter(({ nodes }) => nodes.length > 0).map(({ id, help, nodes }) => {
        const first = nodes.slice(0, 3).map(node => `${node.target.join(' ')} ${node.html.replace(/\s+/g, ' ').slice(0, 120)}`)
        return `${id}: ${help}; ${nodes.length} times: ${first.join(' | ')}`
    })
}
