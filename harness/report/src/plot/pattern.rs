//! Stripes: what tells devices beyond the eighth from those whose colour they share.

use super::palette::Paint;
use super::scene::Outline;

/// How much of the ink of a device its stripes have.
pub(super) const STRENGTH: f64 = 0.4;

/// From the beginning of a stripe to that of the next, and its thickness, in pixels.
const STEP: f64 = 7.0;
const THICK: f64 = 2.5;

/// Narrower surfaces have no room for stripes.
const NARROWEST: f64 = 4.0;

/// The stripes on a surface of a device whose colour an earlier one has, and their ink: rising for the second device of a
/// colour, falling for the third, both for those after. `None` for the first.
pub(super) fn of_device(paint: Paint, at: (f64, f64), size: (f64, f64)) -> Option<(Vec<Outline>, Paint)> {
    let Paint::Device(index) = paint else { return None };
    let round = paint.round();
    if round == 0 || size.0 < NARROWEST || size.1 < NARROWEST {
        return None;
    }
    let mut all = Vec::new();
    if round != 2 {
        all.extend(stripes(at, size, Slope::Rising));
    }
    if round >= 2 {
        all.extend(stripes(at, size, Slope::Falling));
    }
    Some((all, Paint::OnDevice(index)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Slope {
    Rising,
    Falling,
}

/// Stripes at half a right angle, cut off at the sides of a rectangle.
fn stripes((x, y): (f64, f64), (w, h): (f64, f64), slope: Slope) -> Vec<Outline> {
    let (low, high) = match slope {
        Slope::Rising => (y + h, y),
        Slope::Falling => (y, y + h),
    };
    let mut all = Vec::new();
    let mut from = x - h;
    while from < x + w {
        let stripe = vec![
            (from, low),
            (from + THICK, low),
            (from + THICK + h, high),
            (from + h, high),
        ];
        let stripe = clip(&clip(&stripe, x, 1.0), x + w, -1.0);
        if stripe.len() >= 3 {
            all.push(stripe);
        }
        from += STEP;
    }
    all
}

/// The part of a convex polygon at one side of an upright line: right of it where `sign` is 1, left where it is -1.
fn clip(polygon: &[(f64, f64)], line: f64, sign: f64) -> Outline {
    let mut kept = Vec::new();
    let after = polygon.iter().cycle().skip(1);
    for (from, to) in polygon.iter().zip(after) {
        let (inside, next_inside) = ((from.0 - line) * sign >= 0.0, (to.0 - line) * sign >= 0.0);
        if inside {
            kept.push(*from);
        }
        if inside != next_inside {
            let part = (line - from.0) / (to.0 - from.0);
            kept.push((line, from.1 + part * (to.1 - from.1)));
        }
    }
    kept
}

/// Opposite corners of a polygon that is an upright rectangle, from the top left.
pub(super) fn as_rect(outline: &[(f64, f64)]) -> Option<((f64, f64), (f64, f64))> {
    let [a, b, c, d] = outline else { return None };
    let same = |a: f64, b: f64| (a - b).abs() < f64::EPSILON;
    (same(a.1, b.1) && same(b.0, c.0) && same(c.1, d.1) && same(d.0, a.0))
        .then_some(((a.0.min(c.0), a.1.min(c.1)), (a.0.max(c.0), a.1.max(c.1))))
}

/// The corners of a rectangle.
pub(super) fn rect((x, y): (f64, f64), (w, h): (f64, f64)) -> Outline {
    vec![(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_that_share_a_colour_have_different_stripes() {
        let on = |index| of_device(Paint::Device(index), (3.0, 5.0), (40.0, 18.0)).map(|(stripes, _)| stripes);
        assert_eq!(on(0), None);
        assert_eq!(on(7), None);
        let rounds = [on(8), on(16), on(24)];
        assert!(
            rounds
                .iter()
                .all(|round| round.as_ref().is_some_and(|all| all.len() > 4))
        );
        assert!(rounds[0] != rounds[1] && rounds[1] != rounds[2] && rounds[0] != rounds[2]);
        assert_eq!(of_device(Paint::Ink, (0.0, 0.0), (40.0, 18.0)), None);
    }

    #[test]
    fn stripes_stay_on_their_surface() {
        for slope in [Slope::Rising, Slope::Falling] {
            for width in [4.0, 9.5, 200.0] {
                let corners = stripes((10.0, 20.0), (width, 14.0), slope).concat();
                assert!(!corners.is_empty());
                let inside = |(x, y): &(f64, f64)| (10.0..=10.0 + width).contains(x) && (20.0..=34.0).contains(y);
                assert!(corners.iter().all(inside), "{corners:?}");
            }
        }
    }

    #[test]
    fn rectangles_are_known() {
        assert_eq!(as_rect(&rect((1.0, 2.0), (3.0, 4.0))), Some(((1.0, 2.0), (4.0, 6.0))));
        assert_eq!(as_rect(&[(0.0, 0.0), (5.0, 1.0), (5.0, 4.0), (0.0, 4.0)]), None);
        assert_eq!(as_rect(&[(0.0, 0.0), (5.0, 0.0), (0.0, 4.0)]), None);
    }
}
