//! The palette, as people see it who see colours differently: what stands for different things stays different.

use placebench_report::plot::palette::{Paint, Scheme};

/// How a colour is seen without one of the three kinds of cones, on linear red, green and blue: Machado, Oliveira and Fernandes 2009, “A
/// Physiologically-based Model for Simulation of Color Vision Deficiency”, severity 1.0.
const SIGHTS: [(&str, [[f64; 3]; 3]); 4] = [
    ("full colour", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    (
        "protanopia",
        [
            [0.152_286, 1.052_583, -0.204_868],
            [0.114_503, 0.786_281, 0.099_216],
            [-0.003_882, -0.048_116, 1.051_998],
        ],
    ),
    (
        "deuteranopia",
        [
            [0.367_322, 0.860_646, -0.227_968],
            [0.280_085, 0.672_501, 0.047_413],
            [-0.011_820, 0.042_940, 0.968_881],
        ],
    ),
    (
        "tritanopia",
        [
            [1.255_528, -0.076_749, -0.178_779],
            [-0.078_411, 0.930_809, 0.147_602],
            [0.004_733, 0.691_367, 0.303_900],
        ],
    ),
];

/// Devices there are colours for, before they repeat.
const DEVICES: usize = 8;

fn linear(rgb: [u8; 3]) -> [f64; 3] {
    rgb.map(|channel| {
        let value = f64::from(channel) / 255.0;
        if value <= 0.040_45 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    })
}

fn times(matrix: [[f64; 3]; 3], [x, y, z]: [f64; 3]) -> [f64; 3] {
    matrix.map(|[a, b, c]| a * x + b * y + c * z)
}

/// Lightness and two colour axes in which equal distances look about equal, from 0 to 100: Oklab (Ottosson 2020), a hundredfold.
fn oklab(linear: [f64; 3]) -> [f64; 3] {
    let cones = times(
        [
            [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
            [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
            [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
        ],
        linear,
    );
    times(
        [
            [0.210_454_255_3, 0.793_617_785, -0.004_072_046_8],
            [1.977_998_495_1, -2.428_592_205, 0.450_593_709_9],
            [0.025_904_037_1, 0.782_771_766_2, -0.808_675_766],
        ],
        cones.map(f64::cbrt),
    )
    .map(|axis| axis * 100.0)
}

fn seen(paint: Paint, scheme: Scheme, sight: [[f64; 3]; 3]) -> [f64; 3] {
    oklab(times(sight, linear(paint.rgb(scheme))).map(|channel| channel.clamp(0.0, 1.0)))
}

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// The nearest pair of some paints, under every sight and scheme.
fn nearest(pairs: &[(Paint, Paint)]) -> (f64, String) {
    let mut least = (f64::INFINITY, String::new());
    for (sight, matrix) in SIGHTS {
        for scheme in [Scheme::Light, Scheme::Dark] {
            for &(a, b) in pairs {
                let apart = distance(seen(a, scheme, matrix), seen(b, scheme, matrix));
                if apart < least.0 {
                    least = (apart, format!("{a:?} and {b:?} with {sight}, {scheme:?}: {apart:.1}"));
                }
            }
        }
    }
    least
}

fn devices(apart: impl Fn(usize, usize) -> bool) -> Vec<(Paint, Paint)> {
    let all = (0..DEVICES).flat_map(|a| (a + 1..DEVICES).map(move |b| (a, b)));
    all.filter(|&(a, b)| apart(a, b))
        .map(|(a, b)| (Paint::Device(a), Paint::Device(b)))
        .collect()
}

/// About two is the least difference that can be seen side by side (a hundredfold Oklab).
#[test]
fn devices_are_told_apart_whatever_one_sees() {
    // Neighbours in a chart meet at an edge; most runs have up to four devices.
    let (least, pair) = nearest(&devices(|a, b| b == a + 1));
    assert!(least >= 12.0, "neighbours: {pair}");
    let (least, pair) = nearest(&devices(|_, b| b < 4));
    assert!(least >= 10.0, "the first four: {pair}");
    // Any two of eight, which are never told by colour alone.
    let (least, pair) = nearest(&devices(|_, _| true));
    assert!(least >= 5.0, "any two: {pair}");
}

#[test]
fn parts_of_memory_are_told_apart_whatever_one_sees() {
    let parts = [
        (Paint::Weights, Paint::Cache),
        (Paint::Cache, Paint::Rest),
        (Paint::Weights, Paint::Rest),
        (Paint::Rest, Paint::Band),
        (Paint::Rest, Paint::Surface),
    ];
    let (least, pair) = nearest(&parts);
    assert!(least >= 8.0, "{pair}");
}

#[test]
fn what_went_wrong_is_no_other_text() {
    let (least, pair) = nearest(&[(Paint::Alarm, Paint::Ink), (Paint::Alarm, Paint::Muted)]);
    assert!(least >= 8.0, "{pair}");
}

/// Red and green of one lightness are one colour to many: the check must say so.
#[test]
fn a_confusion_is_found() {
    let (red, green) = ([0xc8, 0x5a, 0x3c], [0x7d, 0x84, 0x28]);
    let apart = |sight: [[f64; 3]; 3]| distance(oklab(times(sight, linear(red))), oklab(times(sight, linear(green))));
    let [full, protan, deutan, _] = SIGHTS.map(|(_, matrix)| apart(matrix));
    assert!(full > 12.0, "{full}");
    assert!(deutan < full / 2.0 || protan < full / 2.0, "{full} {protan} {deutan}");
}
