// Contrast of every text with what is really painted behind it, in HTML and in charts, after WCAG 2's formula.

/** Runs in the page. At most `most` findings, one for each pair of colours. */
function measured(most) {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true })
    const known = new Map()
    /** Red, green, blue from 0 to 255 and alpha from 0 to 1 of any CSS colour. */
    const parse = colour => {
        if (!known.has(colour)) {
            canvas.clearRect(0, 0, 1, 1)
            canvas.fillStyle = '#000'
            canvas.fillStyle = colour
            canvas.fillRect(0, 0, 1, 1)
            const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data
            known.set(colour, [red, green, blue, alpha / 255])
        }
        return known.get(colour)
    }
    const over = ([r, g, b, alpha], [red, green, blue]) =>
        [r, g, b].map((channel, index) => channel * alpha + [red, green, blue][index] * (1 - alpha))
    const luminance = colour => {
        const [r, g, b] = colour.map(channel => {
            const value = channel / 255
            return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
        })
        return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const contrast = (one, other) => {
        const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a)
        return (light + 0.05) / (dark + 0.05)
    }
    const canvasColour = () => {
        const probe = document.body.appendChild(document.createElement('div'))
        probe.style.backgroundColor = 'Canvas'
        const colour = parse(getComputedStyle(probe).backgroundColor).slice(0, 3)
        probe.remove()
        return colour
    }
    const page = canvasColour()
    const grounds = new Map()
    /** What HTML paints behind the content of an element. */
    const ground = element => {
        if (!element) return page
        if (!grounds.has(element)) {
            const own = parse(getComputedStyle(element).backgroundColor)
            grounds.set(element, own[3] === 1 ? own.slice(0, 3) : over(own, ground(element.parentElement)))
        }
        return grounds.get(element)
    }
    const faded = element => {
        let opacity = 1
        for (let at = element; at; at = at.parentElement) opacity *= Number(getComputedStyle(at).opacity)
        return opacity
    }
    const pairs = new Map()
    const judge = (element, text, ink, behind, size, weight) => {
        const isLarge = size >= 24 || (size >= 18.66 && Number(weight) >= 700)
        const needed = isLarge ? 3 : 4.5
        const reached = contrast(over(ink, behind), behind)
        // Rounded as people state it: 4.4999 is 4.5.
        if (Math.round(reached * 100) / 100 >= needed) return
        const hex = colour => `#${colour.map(channel => Math.round(channel).toString(16).padStart(2, '0')).join('')}`
        const key = `${hex(over(ink, behind))} on ${hex(behind)}`
        const found = pairs.get(key) ?? { reached, needed, count: 0, text: text.trim().replace(/\s+/g, ' ').slice(0, 50), element }
        pairs.set(key, { ...found, count: found.count + 1 })
    }
    const isSeen = element => element.checkVisibility({ visibilityProperty: true, opacityProperty: true })
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement
        if (!walker.currentNode.data.trim() || !isSeen(element) || element.closest('svg, script, style, noscript')) continue
        if (element.closest('button:disabled, [aria-disabled=true]')) continue
        const style = getComputedStyle(element)
        const [r, g, b, alpha] = parse(style.color)
        judge(element, walker.currentNode.data, [r, g, b, alpha * faded(element)], ground(element), parseFloat(style.fontSize), style.fontWeight)
    }
    let labels = 0
    for (const svg of [...document.querySelectorAll('svg')].filter(isSeen)) {
        const scale = svg.getScreenCTM()?.a ?? 1
        const below = []
        for (const element of svg.querySelectorAll('rect, path, circle, polygon, text')) {
            if (!isSeen(element)) continue
            const style = getComputedStyle(element)
            if (element.tagName !== 'text') {
                const fill = style.fill === 'none' ? null : parse(style.fill)
                const opacity = Number(style.opacity) * Number(style.fillOpacity)
                if (fill && fill[3] * opacity > 0) below.push({ element, box: element.getBBox(), fill: [...fill.slice(0, 3), fill[3] * opacity] })
                continue
            }
            labels += 1
            const box = element.getBBox()
            const fill = parse(style.fill)
            const ink = [...fill.slice(0, 3), fill[3] * Number(style.opacity) * Number(style.fillOpacity)]
            const size = parseFloat(style.fontSize) * scale
            // Letters with a seam of another colour are read on the seam.
            const hasSeam = style.stroke !== 'none' && style.paintOrder.startsWith('stroke') && parseFloat(style.strokeWidth) >= 2
            const y = box.y + box.height * 0.55
            for (const x of [0.02, 0.5, 0.98].map(share => box.x + box.width * share)) {
                let behind = ground(svg)
                for (const shape of below) {
                    const { box: b } = shape
                    if (x < b.x || x > b.x + b.width || y < b.y || y > b.y + b.height) continue
                    const isRect = shape.element.tagName === 'rect'
                    if (isRect || shape.element.isPointInFill(new DOMPoint(x, y))) behind = over(shape.fill, behind)
                }
                if (hasSeam) behind = parse(style.stroke).slice(0, 3)
                judge(element, element.textContent, ink, behind, size, style.fontWeight)
            }
        }
    }
    const findings = [...pairs].map(([key, { reached, needed, count, text, element }]) =>
        `contrast ${reached.toFixed(2)} where ${needed} is needed: ${key}, ${count} times, first “${text}” in ` +
        `${element.closest('svg') ? 'a chart' : element.tagName.toLowerCase()}.${element.getAttribute('class') ?? ''}`)
    return { findings: findings.slice(0, most), labels }
}

/** Findings of the page as it is shown now. */
export async function contrast(page, most = 8) {
    return (await page.evaluate(measured, most)).findings
}
