//! Scaling and measures, against values worked out by hand.

use mixel::image::{Filter, Rgb8, luma, psnr, resize, ssim};

use crate::procedural;

fn grey(width: usize, height: usize, values: &[u8]) -> Rgb8 {
    Rgb8::new(width, height, values.iter().flat_map(|&grey| [grey; 3]).collect()).unwrap()
}

fn reds(picture: &Rgb8) -> Vec<u8> {
    picture.pixels().iter().step_by(3).copied().collect()
}

#[test]
fn the_cubic_kernel_of_one_white_pixel() {
    let bicubic =
        |values: &[u8], to| reds(&resize(&grey(values.len(), 1, values), to, 1, Filter::Bicubic).unwrap());
    // 255 times 0.2265625 and 0.8671875, the kernel at 3/4 and 1/4; at 5/4 and 7/4 it is below 0.
    assert_eq!(bicubic(&[0, 0, 255, 0, 0], 10), [0, 0, 0, 58, 221, 221, 58, 0, 0, 0]);
    // Stretched to twice its width and half its height.
    assert_eq!(bicubic(&[0, 0, 0, 0, 255, 0, 0, 0, 0, 0], 5), [0, 29, 111, 0, 0]);
    // The edge is repeated: the kernel at 1/4 and at 3/4.
    assert_eq!(bicubic(&[255, 0, 0, 0, 0, 0, 0, 0, 0, 0], 5), [139, 0, 0, 0, 0]);
}

#[test]
fn each_pass_rounds_and_clips() {
    let mut values = [0; 25];
    values[12] = 255;
    let double = resize(&grey(5, 5, &values), 10, 10, Filter::Bicubic).unwrap();
    // Kernel values below 0 in both directions would give 1 if the first pass did not clip.
    assert_eq!(reds(&double)[2 * 10 + 2], 0);
    assert_eq!(reds(&double)[4 * 10 + 4], 192, "221 of the first pass, times 0.8671875");
    // Columns first: doing them alone, then the rows, is the same; the other order is not.
    let picture = procedural(24, 20);
    let scale = |picture: &Rgb8, width, height| resize(picture, width, height, Filter::Bicubic).unwrap();
    let whole = scale(&picture, 12, 10);
    assert_eq!(whole, scale(&scale(&picture, 24, 10), 12, 10));
    assert_ne!(whole, scale(&scale(&picture, 12, 20), 12, 10));
}

#[test]
fn bilinear_and_nearest() {
    let row = grey(2, 1, &[0, 100]);
    let scale = |filter, to| reds(&resize(&row, to, 1, filter).unwrap());
    assert_eq!(scale(Filter::Bilinear, 4), [0, 25, 75, 100]);
    assert_eq!(scale(Filter::Nearest, 5), [0, 0, 100, 100, 100]);
    assert_eq!(reds(&resize(&grey(4, 1, &[10, 20, 30, 40]), 2, 1, Filter::Nearest).unwrap()), [20, 40]);
    // A triangle of four pixels, 1/8, 3/8, 3/8, 1/8, of which one is the edge again.
    assert_eq!(reds(&resize(&grey(4, 1, &[10, 20, 30, 40]), 2, 1, Filter::Bilinear).unwrap()), [16, 34]);
}

#[test]
fn what_scaling_leaves_alone() {
    let picture = procedural(24, 20);
    let flat = grey(7, 5, &[77; 35]);
    for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic] {
        assert_eq!(resize(&picture, 24, 20, filter).unwrap(), picture, "{filter:?} to the same size");
        for (width, height) in [(1, 1), (3, 4), (14, 10), (15, 13)] {
            let scaled = resize(&flat, width, height, filter).unwrap();
            assert!(scaled.pixels().iter().all(|&value| value == 77), "{filter:?} to {width}x{height}");
        }
        assert!(resize(&picture, 0, 20, filter).is_err());
        assert!(resize(&picture, usize::MAX, 2, filter).is_err());
    }
}

#[test]
fn parts_of_pictures() {
    let picture = procedural(24, 20);
    let part = picture.crop(3, 2, 5, 4).unwrap();
    assert_eq!((part.width(), part.height()), (5, 4));
    assert_eq!(part.row(1), &picture.row(3)[9..24]);
    assert_eq!(part.row(4), &[] as &[u8]);
    let cut = picture.cut_to_multiple(7).unwrap();
    assert_eq!((cut.width(), cut.height()), (21, 14));
    assert!(picture.crop(20, 0, 5, 1).is_err() && picture.crop(0, usize::MAX, 1, 1).is_err());
    assert!(picture.cut_to_multiple(0).is_err() && picture.cut_to_multiple(21).is_err());
}

#[test]
fn noise_and_similarity_of_flat_pictures() {
    let flat = |value: u8| luma(&grey(16, 12, &[value; 192]));
    let (a, b) = (flat(100), flat(110));
    // Ten levels of grey are 10 * 219 / 255 of luma.
    let step: f64 = 10.0 * 219.0 / 255.0;
    assert!((psnr(&a, &b).unwrap() - 20.0 * (255.0 / step).log10()).abs() < 1e-9);
    assert_eq!(psnr(&a, &a).unwrap(), f64::INFINITY);
    let level = |grey: f64| 16.0 + grey * 219.0 / 255.0;
    let (x, y, c) = (level(100.0), level(110.0), (0.01f64 * 255.0).powi(2));
    let expected = (2.0 * x * y + c) / (x * x + y * y + c);
    assert!((ssim(&a, &b).unwrap() - expected).abs() < 1e-9);
    assert!((ssim(&a, &a).unwrap() - 1.0).abs() < 1e-9);
    assert!(psnr(&a, &luma(&procedural(12, 16))).is_err(), "another size");
    assert!(ssim(&luma(&procedural(16, 10)), &luma(&procedural(16, 10))).is_err(), "smaller than the window");
    assert!(a.without_border(6).is_err() && a.without_border(5).is_ok());
}
