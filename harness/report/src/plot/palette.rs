//! Colours of pictures and page: one list, readable by people who see colours differently.
//!
//! Parts of memory are three lightnesses of one hue, so that nobody takes them for devices.
//! Devices take fixed, alternating hues of different lightness (after Okabe and Ito), always beside their name, so that
//! nothing rests on colour alone. Every fill has the ink that is read on it (contrast of 4.5 or better).

/// What something is painted with: a meaning, not a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Text and medians.
    Ink,
    /// Secondary text.
    Muted,
    /// Grid lines and the bands of rows.
    Band,
    /// Lines of a scale.
    Grid,
    /// The page itself.
    Surface,
    /// Raw points.
    Point,
    /// What went wrong.
    Alarm,
    /// A device, by its position in the run.
    Device(usize),
    /// Text on a device.
    OnDevice(usize),
    /// Weights in memory.
    Weights,
    /// Keys and values in memory.
    Cache,
    /// The rest of a peak.
    Rest,
}

/// The two lightnesses a page can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light; pictures are always this.
    Light,
    /// Light on dark.
    Dark,
}

/// Red, green and blue of a fill, and of the ink that is read on it.
type Fill = ([u8; 3], [u8; 3]);

/// Hues of devices with the ink on them, as both inks are chosen against the fill.
const DEVICES: [Fill; 8] = [
    ([0x18, 0x72, 0xbc], WHITE),
    ([0xe7, 0x9c, 0x26], BLACK),
    ([0x15, 0x55, 0x40], WHITE),
    ([0xa2, 0x98, 0xcf], BLACK),
    ([0x60, 0x45, 0x85], WHITE),
    ([0x82, 0xcc, 0xfb], BLACK),
    ([0xb8, 0x4f, 0x01], WHITE),
    ([0xc5, 0xbe, 0xb3], BLACK),
];
const WHITE: [u8; 3] = [0xff, 0xff, 0xff];
const BLACK: [u8; 3] = [0x16, 0x19, 0x1f];

/// The hues that could not be told from a dark page: lighter there.
const DEVICES_ON_DARK: [(usize, Fill); 2] = [(2, ([0x77, 0xeb, 0xda], BLACK)), (4, ([0x81, 0x4a, 0x97], WHITE))];

/// The hue of a device and the ink on it.
fn device(index: usize, scheme: Scheme) -> Fill {
    let index = index % DEVICES.len();
    let on_dark = DEVICES_ON_DARK.iter().find(|(of, _)| *of == index);
    match on_dark {
        Some((_, colours)) if scheme == Scheme::Dark => *colours,
        _ => DEVICES[index],
    }
}

/// Paints that differ between the schemes.
const NAMED: [Paint; 10] = [
    Paint::Ink,
    Paint::Muted,
    Paint::Band,
    Paint::Grid,
    Paint::Surface,
    Paint::Point,
    Paint::Alarm,
    Paint::Weights,
    Paint::Cache,
    Paint::Rest,
];

impl Paint {
    /// Red, green and blue.
    #[must_use]
    pub fn rgb(self, scheme: Scheme) -> [u8; 3] {
        let (light, dark) = match self {
            Self::Ink => ([0x1c, 0x20, 0x28], [0xe9, 0xeb, 0xef]),
            Self::Muted => ([0x5a, 0x61, 0x6e], [0xa3, 0xab, 0xb8]),
            Self::Band => ([0xf2, 0xf4, 0xf7], [0x20, 0x25, 0x2d]),
            Self::Grid => ([0xd9, 0xdd, 0xe4], [0x39, 0x40, 0x4b]),
            Self::Surface => ([0xff, 0xff, 0xff], [0x14, 0x17, 0x1c]),
            Self::Point => ([0x18, 0x72, 0xbc], [0x7f, 0xb2, 0xea]),
            Self::Alarm => ([0xb0, 0x2a, 0x1f], [0xff, 0x7f, 0x6e]),
            Self::Weights => ([0x3d, 0x52, 0x70], [0xc3, 0xd3, 0xe8]),
            Self::Cache => ([0x7d, 0x9b, 0xc1], [0x7d, 0x9b, 0xc1]),
            Self::Rest => ([0xc4, 0xd1, 0xe2], [0x47, 0x5c, 0x7a]),
            Self::Device(index) => return device(index, scheme).0,
            Self::OnDevice(index) => return device(index, scheme).1,
        };
        match scheme {
            Scheme::Light => light,
            Scheme::Dark => dark,
        }
    }

    /// How many devices before this one have its colour: they are told apart by stripes.
    #[must_use]
    pub fn round(self) -> usize {
        match self {
            Self::Device(index) | Self::OnDevice(index) => index / DEVICES.len(),
            _ => 0,
        }
    }

    /// The name of its CSS variable and class.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Ink => "ink".into(),
            Self::Muted => "muted".into(),
            Self::Band => "band".into(),
            Self::Grid => "grid".into(),
            Self::Surface => "surface".into(),
            Self::Point => "point".into(),
            Self::Alarm => "alarm".into(),
            Self::Weights => "weights".into(),
            Self::Cache => "cache".into(),
            Self::Rest => "rest".into(),
            Self::Device(index) => format!("d{}", index % DEVICES.len()),
            Self::OnDevice(index) => format!("on{}", index % DEVICES.len()),
        }
    }
}

/// The variables of a scheme: `--ink:#1c2028;…`.
#[must_use]
pub fn css_variables(scheme: Scheme) -> String {
    let devices = (0..DEVICES.len()).flat_map(|index| [Paint::Device(index), Paint::OnDevice(index)]);
    NAMED
        .into_iter()
        .chain(devices)
        .map(|paint| format!("--{}:{};", paint.name(), hex(paint.rgb(scheme))))
        .collect()
}

/// A class for every fill (`f-…`) and stroke (`s-…`), from the variables, and the looks of text.
#[must_use]
pub fn css_classes() -> String {
    let devices = (0..DEVICES.len()).flat_map(|index| [Paint::Device(index), Paint::OnDevice(index)]);
    let class = |paint: Paint| {
        format!(
            ".f-{0}{{fill:var(--{0});background:var(--{0})}}.s-{0}{{stroke:var(--{0})}}",
            paint.name()
        )
    };
    let looks = std::iter::once(super::svg::STYLE.to_owned());
    looks.chain(NAMED.into_iter().chain(devices).map(class)).collect()
}

fn hex([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(rgb: [u8; 3]) -> f64 {
        let linear = rgb.map(|channel| {
            let value = f64::from(channel) / 255.0;
            if value <= 0.040_45 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }

    fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_can_be_read_everywhere() {
        for scheme in [Scheme::Light, Scheme::Dark] {
            for ink in [Paint::Ink, Paint::Muted, Paint::Alarm] {
                for ground in [Paint::Surface, Paint::Band] {
                    let contrast = contrast(ink.rgb(scheme), ground.rgb(scheme));
                    assert!(contrast >= 4.5, "{ink:?} on {ground:?}, {scheme:?}: {contrast:.2}");
                }
            }
            for index in 0..DEVICES.len() {
                let contrast = contrast(Paint::Device(index).rgb(scheme), Paint::OnDevice(index).rgb(scheme));
                assert!(contrast >= 4.5, "device {index}: {contrast:.2}");
            }
        }
    }

    #[test]
    fn neighbouring_devices_differ_in_lightness() {
        for scheme in [Scheme::Light, Scheme::Dark] {
            let fill = |index| Paint::Device(index).rgb(scheme);
            for index in 1..DEVICES.len() {
                let contrast = contrast(fill(index - 1), fill(index));
                assert!(
                    contrast >= 1.5,
                    "devices {} and {index}, {scheme:?}: {contrast:.2}",
                    index - 1
                );
            }
        }
    }

    #[test]
    fn no_device_sinks_into_the_page() {
        for index in 0..DEVICES.len() {
            let contrast = contrast(Paint::Device(index).rgb(Scheme::Dark), Paint::Surface.rgb(Scheme::Dark));
            assert!(contrast >= 2.6, "device {index}: {contrast:.2}");
        }
    }
}
