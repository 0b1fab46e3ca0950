//! `mixel compare`.

use mixel::image::{Filter, Rgb8, luma, psnr, read_png, resize, ssim, write_png};

use crate::models::folder;
use crate::{doubling, good, json, procedural};

#[test]
fn files_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // An odd edge is cut off.
    let truth = procedural(97, 61);
    let cut = truth.cut_to_multiple(3).unwrap();
    let low = resize(&cut, 32, 20, Filter::Bicubic).unwrap();
    let ours = resize(&low, 96, 60, Filter::Bilinear).unwrap();
    for (name, picture) in [("hr.png", &truth), ("lr.png", &low), ("sr.png", &ours)] {
        write_png(&path.join(name), picture).unwrap();
    }
    let call = ["compare", "--truth", "hr.png", "--low", "lr.png", "--ours", "sr.png", "-o", "side.png"];
    let figures = json(path, &call);
    assert_eq!((&figures["factor"], &figures["border"]), (&3.into(), &3.into()));
    let inner = |picture: &Rgb8| luma(picture).without_border(3).unwrap();
    for (index, filter) in [Filter::Nearest, Filter::Bicubic, Filter::Bilinear].into_iter().enumerate() {
        let enlarged = inner(&resize(&low, 96, 60, filter).unwrap());
        let figure = &figures["figures"][index];
        let near = |key: &str, value: f64| assert!((figure[key].as_f64().unwrap() - value).abs() < 1e-6);
        near("psnr_y_db", psnr(&enlarged, &inner(&cut)).unwrap());
        near("ssim_y", ssim(&enlarged, &inner(&cut)).unwrap());
    }
    // Four panels, each pixel three by three, with the truth on the right.
    let sheet = read_png(&path.join("side.png")).unwrap();
    let (wide, high) = (3 * 96, 3 * 60);
    let shown = sheet.crop(sheet.width() - 6 - wide, sheet.height() - 6 - high, wide, high).unwrap();
    assert_eq!(shown, resize(&cut, wide, high, Filter::Nearest).unwrap());
    let left = sheet.crop(6, sheet.height() - 6 - high, wide, high).unwrap();
    assert_eq!(resize(&left, 32, 20, Filter::Nearest).unwrap(), low);
    let (text, said) = good(path, &call);
    for word in ["low resolution", "bicubic", "ours", "PSNR", "SSIM"] {
        assert!(text.contains(word), "{text}");
    }
    assert!(said.contains("side.png: low resolution, bicubic, ours, truth"), "{said}");
}

#[test]
fn equal_pictures_have_no_noise() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let truth = procedural(48, 40);
    write_png(&path.join("hr.png"), &truth).unwrap();
    write_png(&path.join("lr.png"), &resize(&truth, 24, 20, Filter::Bicubic).unwrap()).unwrap();
    let call = ["compare", "--truth", "hr.png", "--low", "lr.png", "--ours", "hr.png"];
    let figures = json(path, &call);
    let ours = &figures["figures"][2];
    assert!(ours["psnr_y_db"].is_null() && ours["ssim_y"].as_f64().unwrap() > 0.999999, "{ours}");
    assert!(good(path, &call).0.contains("inf"));
}

#[test]
fn a_model_against_the_truth() {
    let folder = folder(&doubling(24, 20, true), &["--pixels", "0,1"]);
    let path = folder.path();
    write_png(&path.join("hr.png"), &procedural(48, 40)).unwrap();
    write_png(&path.join("large.png"), &procedural(101, 90)).unwrap();
    for (truth, note) in [("hr.png", ""), ("large.png", "large.png: the middle 48x40 of 100x90 pixels")] {
        let call = ["compare", "m.mxl", "--truth", truth, "-o", "side.png"];
        let figures = json(path, &call)["figures"].clone();
        // The model repeats pixels.
        assert_eq!(figures[0]["psnr_y_db"], figures[2]["psnr_y_db"]);
        assert_ne!(figures[1]["psnr_y_db"], figures[2]["psnr_y_db"]);
        assert!(good(path, &call).1.contains(note));
    }
}
