//! Set5 and Set14: low-resolution pictures byte for byte, and the measures of plain scaling.

use std::path::Path;

use mixel::image::{Filter, Rgb8, luma, psnr, read_png, resize, ssim};

use crate::support::data;

const SETS: [(&str, &[&str]); 2] = [
    ("set5", &["baby", "bird", "butterfly", "head", "woman"]),
    (
        "set14",
        &[
            "baboon",
            "barbara",
            "bridge",
            "coastguard",
            "comic",
            "face",
            "flowers",
            "foreman",
            "lenna",
            "man",
            "monarch",
            "pepper",
            "ppt3",
            "zebra",
        ],
    ),
];

/// Truth, cut to a multiple of the scale, and low resolution of every picture of `set`; none where the data is missing.
fn pictures(set: &str, names: &[&str], scale: usize) -> Option<Vec<(Rgb8, Rgb8)>> {
    let read = |path: &Path| read_png(path).unwrap();
    names
        .iter()
        .map(|name| {
            let truth = read(&data(&format!("{set}/HR/{name}.png"))?).cut_to_multiple(scale).unwrap();
            Some((truth, read(&data(&format!("{set}/LR_bicubic/X{scale}/{name}x{scale}.png"))?)))
        })
        .collect()
}

/// PSNR of Set5 and Set14 (Y, without a border as wide as the scale) in papers/scet.md, section 3: x2, x3, x4.
const TABLE: [(Filter, [[f64; 3]; 2]); 3] = [
    (Filter::Bicubic, [[33.68, 30.40, 28.43], [30.33, 27.63, 26.09]]),
    (Filter::Bilinear, [[32.25, 29.54, 27.56], [29.25, 27.04, 25.51]]),
    (Filter::Nearest, [[30.86, 27.93, 26.26], [28.58, 26.09, 24.74]]),
];

#[test]
fn low_resolution_is_that_of_the_field() {
    for (set, names) in SETS {
        for scale in 2..=4 {
            let Some(pictures) = pictures(set, names, scale) else { return };
            for (name, (truth, low)) in names.iter().zip(pictures) {
                let (width, height) = (truth.width() / scale, truth.height() / scale);
                let ours = resize(&truth, width, height, Filter::Bicubic).unwrap();
                assert!(ours == low, "{set} {name} x{scale} differs");
            }
        }
    }
}

#[test]
fn plain_scaling_has_the_known_figures() {
    for (s, (set, names)) in SETS.into_iter().enumerate() {
        for scale in 2..=4 {
            let Some(pictures) = pictures(set, names, scale) else { return };
            for (filter, table) in TABLE {
                let (mut decibels, mut similar) = (0.0, 0.0);
                for (truth, low) in &pictures {
                    let high = resize(low, truth.width(), truth.height(), filter).unwrap();
                    let inner = |picture: &Rgb8| luma(picture).without_border(scale).unwrap();
                    let (truth, high) = (inner(truth), inner(&high));
                    decibels += psnr(&high, &truth).unwrap() / names.len() as f64;
                    similar += ssim(&high, &truth).unwrap() / names.len() as f64;
                }
                println!("{set} x{scale} {filter:?}: {decibels:.3} dB, SSIM {similar:.4}");
                let known = table[s][scale - 2];
                assert!(
                    (decibels - known).abs() <= 0.02,
                    "{set} x{scale} {filter:?}: {decibels} is not {known}"
                );
                if (set, scale, filter) == ("set5", 4, Filter::Bicubic) {
                    assert!((similar - 0.8111).abs() < 0.00005, "SSIM {similar}");
                }
            }
        }
    }
}
