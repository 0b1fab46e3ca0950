//! Pictures that are none or do not fit: each gives one paragraph that says what to do, and an exit code that is not 0.

use std::path::Path;

use mixel::image::write_png;
use png::{BitDepth, ColorType};

use crate::files::{chunk, encoded};
use crate::models::folder;
use crate::support::onnx::Onnx;
use crate::{colours, doubling, mixel, procedural};

/// Standard error of a call that fails with `code`.
fn bad(folder: &Path, code: i32, arguments: &[&str]) -> String {
    let output = mixel(folder, arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    assert!(output.stdout.is_empty(), "errors go to standard error only");
    error
}

/// One paragraph with a hint that has all of `words`.
fn says(error: &str, words: &[&str]) {
    let error = error.split_once("error: ").map_or(error, |(_, error)| error);
    assert!(error.contains("\n  hint: "), "{error}");
    assert!(!error.trim_end().contains("\n\n"), "one paragraph: {error}");
    for word in words {
        assert!(error.contains(word), "{word} is not in: {error}");
    }
}

#[test]
fn files_that_are_no_pictures() {
    let folder = folder(&doubling(24, 20, true), &["--pixels", "0,1"]);
    let path = folder.path();
    let whole = std::fs::read(path.join("in.png")).unwrap();
    let mut flipped = whole.clone();
    let middle = whole.len() / 2;
    flipped[middle] ^= 0x10;
    let head = |width: u32, height: u32| {
        let mut file = whole[..8].to_vec();
        let fields = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
        chunk(&mut file, b"IHDR", &fields);
        chunk(&mut file, b"IDAT", &[]);
        file
    };
    let mut animation = whole[..33].to_vec();
    chunk(&mut animation, b"acTL", &[0, 0, 0, 1, 0, 0, 0, 0]);
    animation.extend(&whole[33..]);
    let wide = encoded(ColorType::Rgb, BitDepth::Sixteen, &[9; 24]);
    let glass = encoded(ColorType::Rgba, BitDepth::Eight, &[9; 16]);
    let cases: [(&str, &[u8], &[&str]); 10] = [
        ("text.png", b"not a picture", &["is not a PNG file", "convert"]),
        ("empty.png", b"", &["is not a PNG file", "convert"]),
        ("head.png", &whole[..20], &["cut off", "copy it again"]),
        ("half.png", &whole[..middle], &["cut off", "copy it again"]),
        ("end.png", &whole[..whole.len() - 8], &["cut off", "copy it again"]),
        ("flipped.png", &flipped, &["damaged", "again"]),
        ("zero.png", &head(0, 20), &["damaged", "again"]),
        ("huge.png", &head(100_000, 100_000), &["100000x100000 pixels", "cut it"]),
        ("wide.png", &wide, &["16 bits a channel", "8 bits"]),
        ("glass.png", &glass, &["see-through", "flatten"]),
    ];
    for (name, bytes, words) in
        cases.into_iter().chain([("many.png", &animation[..], &["animation", "one frame"][..])])
    {
        std::fs::write(path.join(name), bytes).unwrap();
        let words = [&[name], words].concat();
        says(&bad(path, 1, &["run", "m.mxl", "--image", name, "--output", "out.png"]), &words);
        says(&bad(path, 1, &["compare", "--truth", name, "--low", "in.png", "--ours", "in.png"]), &words);
        let compile = ["compile", "m.onnx", "-o", "n.mxl", "--pixels", "0,1", "--calib", name];
        says(&bad(path, 1, &compile), &words);
        assert!(!path.join("out.png").exists() && !path.join("n.mxl").exists(), "nothing is written");
    }
    says(
        &bad(path, 1, &["run", "m.mxl", "--image", "none.png", "--output", "o.png"]),
        &["none.png", "check the path"],
    );
    std::fs::create_dir(path.join("empty")).unwrap();
    says(
        &bad(path, 1, &["run", "m.mxl", "--image", "empty", "--output", "o.png"]),
        &["empty", "no PNG files"],
    );
}

#[test]
fn a_picture_of_another_size() {
    let folder = folder(&doubling(24, 20, true), &["--pixels", "0,1"]);
    let path = folder.path();
    write_png(&path.join("other.png"), &procedural(20, 24)).unwrap();
    let error = bad(path, 1, &["run", "m.mxl", "--image", "other.png", "--output", "out.png"]);
    says(&error, &["other.png", "20x24", "24x20", "scale or cut", "compile"]);
    let compile = ["compile", "m.onnx", "-o", "n.mxl", "--pixels", "0,1", "--calib", "other.png"];
    says(&bad(path, 1, &compile), &["other.png", "20x24", "24x20", "larger"]);
}

#[test]
fn models_without_pictures() {
    let mut model = Onnx::new(17);
    model.input("x", &[1, 6]).random("w", &[6, 3]).node("MatMul", &["x", "w"], "y", &[]).output("y");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("m.onnx"), model.encoded()).unwrap();
    write_png(&path.join("in.png"), &procedural(24, 20)).unwrap();
    let run = |more: &[&str]| bad(path, 1, &[&["run", "m.onnx", "--image", "in.png"], more].concat());
    says(&run(&["--calib", "random"]), &["takes no pictures", "--input", "--pixels"]);
    says(&run(&["--calib", "in.png"]), &["m.onnx", "takes no pictures", "--pixels"]);
    says(&run(&["--calib", "random", "--pixels", "0,1"]), &["x: ", "1x6", "1x3xHxW"]);
    assert!(
        bad(path, 2, &["run", "m.onnx", "--image", "in.png", "--pixels", "1,0"])
            .contains("two rising numbers")
    );
    let mut model = doubling(24, 20, true);
    model.metadata("mixel.front_end", "image").metadata("mixel.image.range", "black,white");
    std::fs::write(path.join("m.onnx"), model.encoded()).unwrap();
    says(&run(&["--calib", "in.png"]), &["mixel.image.range", "black,white", "docs/pipeline.md"]);
    let mut model = colours(24, 20);
    model.metadata("mixel.image.output", "image");
    std::fs::write(path.join("m.onnx"), model.encoded()).unwrap();
    says(&run(&["--calib", "in.png"]), &["y: ", "is no output of pictures", "1x3"]);
}

#[test]
fn calls_that_do_not_fit_the_model() {
    let doubling = folder(&doubling(24, 20, true), &["--pixels", "0,1"]);
    let path = doubling.path();
    says(&bad(path, 2, &["run", "m.mxl", "--image", "in.png"]), &["--output", "is missing", "OUT.png"]);
    says(
        &bad(path, 2, &["run", "m.mxl", "--image", "in.png", "--output", "./in.png"]),
        &["is the input itself"],
    );
    says(
        &bad(path, 2, &["run", "m.mxl", "--image", "in.png", "--input", "x.npz"]),
        &["more than one", "--image"],
    );
    // What is written is a PNG file, whatever it is called.
    for name in ["out.npz", "out.jpg", "out"] {
        let error = bad(path, 2, &["run", "m.mxl", "--image", "in.png", "--output", name]);
        says(&error, &["--output", "PNG", "end it in .png"]);
        let compare = ["compare", "--truth", "in.png", "--low", "in.png", "--ours", "in.png", "-o", name];
        says(&bad(path, 2, &compare), &["--output", "PNG", "end it in .png"]);
        assert!(!path.join(name).exists());
    }
    let error = bad(path, 1, &["run", "m.mxl", "--image", "in.png", "--output", "nowhere/out.png"]);
    says(&error, &["nowhere/out.png", "cannot be written", "folder exists"]);
    let classes = folder(&colours(24, 20), &[]);
    let call = ["run", "m.mxl", "--image", "in.png", "--output", "out.png"];
    says(&bad(classes.path(), 2, &call), &["--output", "gives classes"]);
    says(&bad(classes.path(), 1, &["compare", "m.mxl", "--truth", "in.png"]), &["m.mxl", "does not enlarge"]);
}

#[test]
fn comparisons_of_other_sizes() {
    let folder = folder(&doubling(24, 20, true), &["--pixels", "0,1"]);
    let path = folder.path();
    write_png(&path.join("hr.png"), &procedural(48, 40)).unwrap();
    write_png(&path.join("odd.png"), &procedural(31, 40)).unwrap();
    let compare =
        |truth, low, ours| bad(path, 1, &["compare", "--truth", truth, "--low", low, "--ours", ours]);
    says(&compare("hr.png", "in.png", "odd.png"), &["odd.png", "31x40", "48x40", "2 times"]);
    says(&compare("hr.png", "odd.png", "hr.png"), &["hr.png", "48x40", "31x40", "2 to 8 times"]);
    says(&compare("in.png", "hr.png", "hr.png"), &["in.png", "24x20", "48x40"]);
    says(
        &bad(path, 1, &["compare", "m.mxl", "--truth", "odd.png"]),
        &["odd.png", "31x40", "48x40", "larger"],
    );
    assert!(bad(path, 2, &["compare", "--truth", "hr.png"]).contains("--low"));
}
