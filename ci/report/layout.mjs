// Whether everything can be seen: the document no wider than the window, nothing cut off, no two labels of a chart on each other.
import { settled, unfold } from './browser.mjs'

/** Widths in CSS pixels: 320 is what WCAG's reflow asks for, the others a phone, a tablet and two desks. */
export const WIDTHS = [320, 360, 800, 1280, 1600]

/** Runs in the page. At most `most` findings of a kind, with the place of each. */
function measured(most) {
    const findings = []
    const where = element => {
        const named = element.closest('[id]')
        const classes = typeof element.className === 'string' && element.className ? `.${element.className.trim().split(/\s+/).join('.')}` : ''
        const words = (element.textContent ?? '').trim().replace(/\s+/g, ' ').slice(0, 60)
        return `${element.tagName.toLowerCase()}${classes}${named ? ` in #${named.id}` : ''} “${words}”`
    }
    const note = (kind, list) => {
        for (const text of list.slice(0, most)) findings.push(`${kind}: ${text}`)
        if (list.length > most) findings.push(`${kind}: and ${list.length - most} more`)
    }
    const root = document.documentElement
    const isSeen = element => element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) &&
        element.getClientRects().length > 0
    const seen = [...document.body.querySelectorAll('*')].filter(isSeen)
    if (document.scrollingElement.scrollWidth > root.clientWidth) {
        const limit = root.clientWidth + 0.5
        const scrolls = element => element.closest('.scroll, pre') !== null
        const wide = seen.filter(element => element.getBoundingClientRect().right > limit && !scrolls(element))
        const culprits = wide.filter(element => !wide.some(other => other !== element && element.contains(other)))
        note('the document scrolls sideways', culprits.length > 0
            ? culprits.map(where)
            : [`${document.scrollingElement.scrollWidth} of ${root.clientWidth} pixels`])
    }
    // What may scroll within itself, and what is shown to screen readers only, may be larger than its box.
    const html = seen.filter(element => element instanceof HTMLElement && element.clientWidth > 1 && element.clientHeight > 1)
    const cut = html.filter(element => {
        const style = getComputedStyle(element)
        const hides = axis => ['hidden', 'clip'].includes(axis)
        const wider = element.scrollWidth > element.clientWidth + 1
        const taller = element.scrollHeight > element.clientHeight + 1
        return (hides(style.overflowX) && wider) || (hides(style.overflowY) && taller)
    })
    note('cut off', cut.map(where))
    const spilling = html.filter(element => {
        if (getComputedStyle(element).overflowX !== 'visible' || element.closest('.scroll, pre')) return false
        // What opens over the page is no part of the box it hangs on; whether it leaves the window is asked above.
        if ([...element.querySelectorAll('*')].some(one => ['absolute', 'fixed'].includes(getComputedStyle(one).position))) return false
        return element.scrollWidth > element.clientWidth + 1 && !element.querySelector('.scroll, pre') &&
            getComputedStyle(element).display !== 'inline'
    })
    const innermost = spilling.filter(element => !spilling.some(other => other !== element && element.contains(other)))
    note('wider than its box', innermost.map(where))
    const outside = []
    const overlapping = []
    for (const svg of [...document.querySelectorAll('svg')].filter(isSeen)) {
        const frame = svg.viewBox.baseVal
        const labels = [...svg.querySelectorAll('text')].filter(isSeen).map(element => ({ element, box: element.getBBox() }))
        for (const { element, box } of labels) {
            // Letters begin a little beside where they are set.
            const inside = box.x >= frame.x - 1.5 && box.x + box.width <= frame.x + frame.width + 1.5 &&
                box.y >= frame.y - 2 && box.y + box.height <= frame.y + frame.height + 2
            if (!inside) outside.push(`${where(element)} at ${Math.round(box.x)}–${Math.round(box.x + box.width)} of ${frame.width}`)
        }
        // A line of text is higher than its letters: a quarter is room.
        const inks = labels.map(({ element, box }) => ({ element, left: box.x, right: box.x + box.width,
            top: box.y + box.height * 0.25, bottom: box.y + box.height * 0.8 })).sort((a, b) => a.left - b.left)
        inks.forEach((one, index) => {
            for (const other of inks.slice(index + 1)) {
                if (other.left > one.right - 1) break
                if (Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 1) {
                    overlapping.push(`${where(one.element)} and “${other.element.textContent}”`)
                }
            }
        })
    }
    note('a label outside its picture', outside)
    note('labels on each other', overlapping)
    // WCAG 2.5.8; links in sentences are as high as their line, and a lone box to tick may be small (axe looks at the room around it).
    const small = html.filter(element => element.matches('button, input:not([type=checkbox]), select, summary')).filter(element => {
        const { width, height } = element.getBoundingClientRect()
        const label = element.closest('label')?.getBoundingClientRect()
        return Math.max(width, label?.width ?? 0) < 24 || Math.max(height, label?.height ?? 0) < 24
    })
    note('too small to hit (24 pixels)', small.map(where))
    return findings
}

/** Findings at every width, at twice the text size, and with what is folded opened. */
export async function layout(page, most = 3) {
    const findings = []
    await unfold(page)
    const at = async (width, text) => {
        await page.setViewportSize({ width, height: 900 })
        await page.evaluate(size => { document.documentElement.style.fontSize = size }, text)
        await settled(page)
        const found = await page.evaluate(measured, most)
        const label = text ? `${width} px, text at ${text}` : `${width} px`
        findings.push(...found.map(finding => `${label}: ${finding}`))
    }
    for (const width of WIDTHS) await at(width, '')
    await at(1280, '200%')
    // Zoomed to 200 %, a window of 1280 has 640 CSS pixels.
    await at(640, '')
    await page.evaluate(() => { document.documentElement.style.fontSize = '' })
    return findings
}
