//! SPACH: a plain reference, the exported file in tract, learning on drawn shapes.

use mixel_models::images::train::{Recipe, logits, predict, train};
use mixel_models::images::{Image, Normalisation, SIDE};
use mixel_models::onnx::{metadata, spach as onnx};
use mixel_models::spach::{Architecture, Mixer};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tract_onnx::prelude::*;

const LABELS: [&str; 4] = ["square", "frame", "horizontal", "vertical"];

/// A bright shape on a dark noisy ground.
fn shape(label: usize, rng: &mut impl Rng) -> Image {
    let (x, y) = (rng.random_range(10..22_i32), rng.random_range(10..22_i32));
    let radius = rng.random_range(5..8_i32);
    let colour = [0; 3].map(|_: u8| rng.random_range(150..250_u8));
    let mut pixels = Vec::new();
    for row in 0..SIDE as i32 {
        for column in 0..SIDE as i32 {
            let (dx, dy) = ((column - x).abs(), (row - y).abs());
            let inside = match label {
                0 => dx.max(dy) < radius,
                1 => (radius - 1..=radius).contains(&dx.max(dy)),
                2 => dy <= 1 && dx <= radius,
                _ => dx <= 1 && dy <= radius,
            };
            let ground = rng.random_range(0..60_u8);
            pixels.extend(colour.map(|value| if inside { value } else { ground }));
        }
    }
    Image { pixels, label }
}

fn shapes(count: usize, seed: u64) -> Vec<Image> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count).map(|index| shape(index % 4, &mut rng)).collect()
}

fn single(blocks: Vec<Mixer>) -> Architecture {
    // Heads of 8, so two of them.
    Architecture { head: 8, classes: 4, ..Architecture::single(SIDE, 8, 16, 2, blocks, 4) }
}

/// Three stages with all mixers.
fn staged() -> Architecture {
    use Mixer::{Attention, Mlp, Pass};
    let stages = vec![vec![Pass], vec![Attention, Pass], vec![Mlp]];
    Architecture { patch: 4, width: 8, head: 8, stages, ..single(Vec::new()) }
}

/// What tract makes of the exported file.
fn in_tract(file: &[u8], images: &[Image]) -> Vec<Vec<f32>> {
    let model = tract_onnx::onnx().model_for_read(&mut &file[..]).unwrap();
    let model = model.with_input_fact(0, f32::fact([1, SIDE, SIDE, 3]).into()).unwrap();
    let model = model.into_optimized().unwrap().into_runnable().unwrap();
    let run = |image: &Image| {
        let pixel = |(_, y, x, colour)| f32::from(image.pixels[(y * SIDE + x) * 3 + colour]) / 255.0;
        let input: Tensor = tract_ndarray::Array4::from_shape_fn((1, SIDE, SIDE, 3), pixel).into();
        let output = model.run(tvec!(input.into())).unwrap();
        output[0].to_plain_array_view::<f32>().unwrap().iter().copied().collect()
    };
    images.iter().map(run).collect()
}

#[test]
fn the_exported_file_computes_the_same() {
    use Mixer::{Attention, Mlp, Pass};
    let images = shapes(4, 1);
    let labels = LABELS.map(String::from);
    for (index, architecture) in
        [single(vec![Pass, Pass]), single(vec![Attention]), single(vec![Mlp, Pass]), staged()]
            .iter()
            .enumerate()
    {
        let weights = architecture.random(&mut StdRng::seed_from_u64(index as u64));
        let file = onnx::export("test", architecture, &Normalisation::CIFAR10, &weights, &labels, 12.5);
        assert_eq!(metadata(&file, onnx::DEV_ACCURACY).as_deref(), Some("12.5"));
        let ours = logits(architecture, &weights, &images);
        for (ours, theirs) in ours.iter().zip(in_tract(&file, &images)) {
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert!((ours - theirs).abs() < 1e-4, "network {index}: {ours} here, {theirs} in tract");
            }
        }
        assert!(ours[0] != ours[1], "network {index} does not look at the image");
    }
}

#[test]
fn every_mixer_learns_to_tell_shapes_apart() {
    use Mixer::{Attention, Mlp, Pass};
    let (known, unknown) = (shapes(480, 2), shapes(80, 3));
    let recipe = Recipe {
        epochs: 16,
        batch: 16,
        learning_rate: 8e-3,
        weight_decay: 0.01,
        smoothing: 0.05,
        moved: true,
    };
    let learns = |blocks| {
        let architecture = Architecture { patch: 4, ..single(blocks) };
        let mut losses = Vec::new();
        let weights = train(&architecture, &known, &recipe, 1, |_, loss, _| losses.push(loss));
        let classes = predict(&architecture, &weights, &unknown);
        let right = classes.iter().zip(&unknown).filter(|(class, image)| **class == image.label).count();
        assert!(right >= 64, "{right} of 80, losses {losses:?}");
    };
    std::thread::scope(|scope| {
        for blocks in [vec![Pass, Pass], vec![Attention, Attention], vec![Mlp, Mlp]] {
            scope.spawn(|| learns(blocks));
        }
    });
}

#[test]
fn a_seed_gives_the_same_weights() {
    let images = shapes(32, 4);
    let recipe =
        Recipe { epochs: 2, batch: 16, learning_rate: 8e-3, weight_decay: 0.01, smoothing: 0.0, moved: true };
    let architecture = single(vec![Mixer::Attention]);
    let run = |seed| train(&architecture, &images, &recipe, seed, |_, _, _| {});
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}
