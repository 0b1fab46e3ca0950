//! SCET on generated images: blocks against a plain reference, learning, weights from PyTorch, the ONNX file in tract.

mod plain;

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use mixel_models::data;
use mixel_models::onnx::scet as onnx;
use mixel_models::scet::network::{self, Precision};
use mixel_models::scet::pytorch::{self, ImportErrorKind, official};
use mixel_models::scet::{Architecture, Parts, Scet, Size};
use mixel_models::super_resolution::pairs::{self, Set};
use mixel_models::super_resolution::planes::Planes;
use mixel_models::super_resolution::score;
use mixel_models::super_resolution::train::{Enlarger, Recipe, train};
use mixel_models::super_resolution::zoo::Model;
use mixel_models::weights::Weight;
use rand::{Rng, SeedableRng, rngs::StdRng};
use safetensors::tensor::{Dtype, TensorView};
use tract_onnx::prelude::*;

use plain::{Map, Plain};

/// Eight channels, so that the shuffled image has two, and a feed-forward of odd width.
const SIZE: Size = Size { channels: 8, blocks: 2, heads: 2, expansion: 1.7, scale: 2 };

fn architecture() -> Architecture {
    Architecture::new(SIZE)
}

/// Weights in which no part is its start value, so that each of them counts.
fn weights(architecture: &Architecture, seed: u64) -> Vec<Weight> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut weights = architecture.start(&mut rng);
    for weight in &mut weights {
        for value in &mut weight.values {
            *value += rng.random_range(-0.3..0.3);
        }
    }
    weights
}

/// A procedural image: gradients, a checker and a disc.
fn picture(width: usize, height: usize, rng: &mut impl Rng) -> Planes {
    let [a, b, c, phase] = [0; 4].map(|_| rng.random_range(0.0..1.0_f32));
    let (x0, y0, radius) = (a * width as f32, b * height as f32, 3.0 + c * height as f32 / 3.0);
    let value = |colour: usize, x: f32, y: f32| {
        let tint = colour as f32 / 3.0;
        let gradient = (a * x + b * y) / (width + height) as f32 + 0.3 * tint;
        let checker = 0.2 * ((x / (3.0 + 4.0 * c) + phase).sin() * (y / (2.0 + 3.0 * a)).sin());
        let inside = ((x - x0).powi(2) + (y - y0).powi(2)).sqrt() < radius;
        (gradient + checker + if inside { 0.3 * (1.0 - tint) } else { 0.0 }).clamp(0.0, 1.0)
    };
    let values = (0..3 * width * height).map(|at| {
        let (colour, row, column) = (at / (width * height), at / width % height, at % width);
        value(colour, column as f32, row as f32)
    });
    Planes { width, height, values: values.collect() }
}

/// The image with every `scale` x `scale` square as its mean.
fn halved(image: &Planes, scale: usize) -> Planes {
    let (width, height) = (image.width / scale, image.height / scale);
    let values = (0..3 * width * height).map(|at| {
        let (colour, row, column) = (at / (width * height), at / width % height, at % width);
        let from = |dy: usize, dx: usize| {
            (colour * image.height + row * scale + dy) * image.width + column * scale + dx
        };
        let square = (0..scale * scale).map(|index| image.values[from(index / scale, index % scale)]);
        square.sum::<f32>() / (scale * scale) as f32
    });
    Planes { width, height, values: values.collect() }
}

/// Values that have nothing in common with their neighbours.
fn noise(shape: [usize; 3], seed: u64) -> Map {
    let mut rng = StdRng::seed_from_u64(seed);
    let values = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    let [channels, height, width] = shape;
    Map { channels, height, width, values }
}

fn tensor(map: &Map) -> Tensor<4> {
    let values: Vec<f32> = map.values.iter().map(|&value| value as f32).collect();
    Tensor::from_data(TensorData::new(values, [1, map.channels, map.height, map.width]), &Device::flex())
}

fn assert_close(found: Tensor<4>, expected: &Map) {
    let found: Vec<f32> = found.into_data().iter::<f32>().collect();
    assert_eq!(found.len(), expected.values.len());
    let pairs = found.iter().zip(&expected.values);
    let worst = pairs.map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-4, "differs by {worst}");
}

#[test]
fn blocks_are_the_papers_formulas() {
    let architecture = architecture();
    let weights = weights(&architecture, 1);
    let plain = Plain::new(&weights);
    let network = Scet::new(&architecture, &weights, &Device::flex());
    let x = noise([8, 6, 9], 2);
    assert_close(network.blocks[1].forward(tensor(&x), Precision::Float), &plain.scpa("scpa1", &x));
    let (attention, feed_forward) = (network.attention.as_ref(), network.feed_forward.as_ref());
    assert_close(attention.expect("a part").forward(tensor(&x), Precision::Float), &plain.mdta(&x));
    assert_close(feed_forward.expect("a part").forward(tensor(&x), Precision::Float), &plain.gdfn(&x));
    let x = noise([18, 3, 4], 3);
    assert_close(network::shuffle(tensor(&x), 3), &x.shuffled(3));
    let x = noise([3, 7, 5], 4);
    assert_close(network.forward(tensor(&x), Precision::Float), &plain.network(2, 2, &x));
}

#[test]
fn a_channel_of_zeros_stays_one() {
    let architecture = architecture();
    let mut weights = weights(&architecture, 1);
    let qkv = weights.iter_mut().find(|weight| weight.name == "mdta/qkv/w").expect("a weight");
    qkv.values[..8].fill(0.0);
    let network = Scet::new(&architecture, &weights, &Device::flex());
    let x = noise([8, 5, 5], 5);
    assert_close(
        network.attention.as_ref().expect("a part").forward(tensor(&x), Precision::Float),
        &Plain::new(&weights).mdta(&x),
    );
}

#[test]
fn the_start_enlarges_like_bilinear() {
    let image = picture(12, 10, &mut StdRng::seed_from_u64(1));
    let architecture = Architecture::new(Size::tiny(2));
    let mut weights = architecture.start(&mut StdRng::seed_from_u64(2));
    for weight in weights.iter_mut().filter(|weight| weight.name.starts_with("deep/image")) {
        weight.values.fill(0.0);
    }
    let remainder = weights.iter_mut().find(|weight| weight.name == "image/w").expect("a weight");
    for output in 0..3 {
        remainder.values[(output * 4 + 3) * 9..][..9].fill(0.0);
    }
    let large = Enlarger::new(&architecture, &weights).enlarge(&image);
    // Away from the edges: a quarter of the way between neighbours.
    let at = |image: &Planes, colour: usize, row: usize, column: usize| {
        image.values[(colour * image.height + row) * image.width + column]
    };
    for (colour, row, column) in [(0, 4, 5), (1, 7, 3), (2, 2, 8)] {
        let expected = 0.5625 * at(&image, colour, row, column)
            + 0.1875 * (at(&image, colour, row, column + 1) + at(&image, colour, row + 1, column))
            + 0.0625 * at(&image, colour, row + 1, column + 1);
        let found = at(&large, colour, 2 * row + 1, 2 * column + 1);
        assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
    }
}

fn procedural(count: usize) -> Vec<[Planes; 2]> {
    let mut rng = StdRng::seed_from_u64(9);
    let pair = |_| {
        let large = picture(48, 40, &mut rng);
        [halved(&large, 2), large]
    };
    (0..count).map(pair).collect()
}

const RECIPE: Recipe =
    Recipe { steps: 30, rounded_steps: 0, batch: 4, patch: 16, learning_rate: 3e-3, luma: 0.5 };

#[test]
fn thirty_steps_lower_the_loss() {
    let pairs = procedural(6);
    let mut losses = Vec::new();
    train(&architecture(), &pairs, &RECIPE, 0, 10, |_, loss, _| losses.push(loss));
    assert!(losses[2] < 0.8 * losses[0], "{losses:?}");
}

#[test]
fn training_with_rounding_learns_through_it() {
    let (architecture, pairs) = (architecture(), procedural(6));
    let error = |weights: &[Weight]| -> f32 {
        let device = Device::flex();
        let network = Scet::new(&architecture, weights, &device);
        let [small, large] = [0, 1].map(|which| {
            let images: Vec<Planes> = pairs.iter().map(|pair| pair[which].clone()).collect();
            Planes::batch(&images, &device)
        });
        (network.forward(small, Precision::Rounded) - large).abs().mean().into_scalar::<f32>()
    };
    let recipe = Recipe { steps: 60, ..RECIPE };
    let float = train(&architecture, &pairs, &recipe, 0, 60, |_, _, _| {});
    let rounded = train(&architecture, &pairs, &Recipe { rounded_steps: 60, ..recipe }, 0, 60, |_, _, _| {});
    assert!(error(&rounded) < error(&float), "{} {}", error(&rounded), error(&float));
}

#[test]
fn the_same_seed_gives_the_same_weights() {
    let pairs = procedural(3);
    let recipe = Recipe { steps: 3, ..RECIPE };
    let run = |seed| train(&architecture(), &pairs, &recipe, seed, 1, |_, _, _| {});
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn the_onnx_file_is_the_network() {
    let image = picture(10, 7, &mut StdRng::seed_from_u64(4));
    let parts = [
        Parts::ALL,
        Parts { map: false, ..Parts::ALL },
        Parts { attention: false, ..Parts::ALL },
        Parts { feed_forward: false, ..Parts::ALL },
    ];
    let ablations = parts.map(|parts| Architecture { size: SIZE, parts });
    // One channel at high resolution, as scet-x4 has.
    let single = Architecture::new(Size { channels: 4, scale: 2, ..SIZE });
    for architecture in ablations.into_iter().chain([single]) {
        let weights = weights(&architecture, 3);
        let file = onnx::export("test", &architecture, [7, 10], &weights);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scet.onnx");
        std::fs::write(&path, file).unwrap();
        assert_eq!(onnx::read(&architecture, &path).unwrap(), weights);

        let model = tract_onnx::onnx()
            .model_for_path(&path)
            .unwrap()
            .into_optimized()
            .unwrap()
            .into_runnable()
            .unwrap();
        let input =
            Tensor::<4>::from_data(TensorData::new(image.values.clone(), [1, 3, 7, 10]), &Device::flex());
        let _ = input;
        let input = tract_onnx::prelude::Tensor::from_shape(&[1, 3, 7, 10], &image.values).unwrap();
        let result = model.run(tvec!(input.into())).unwrap();
        let found = result[0].to_plain_array_view::<f32>().unwrap();
        assert_eq!(found.shape(), [1, 3, 14, 20]);
        let expected = Enlarger::new(&architecture, &weights).enlarge(&image);
        let pairs = found.iter().zip(&expected.values);
        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "{architecture:?}: differs by {worst}");
    }
}

/// Writes weights under the official names, changed by `change`.
fn safetensors_file(
    weights: &[Weight],
    change: impl Fn(&mut Vec<(String, Vec<usize>, Vec<u8>)>),
) -> tempfile::NamedTempFile {
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = weights
        .iter()
        .map(|weight| {
            let bytes = weight.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (official(&weight.name), weight.shape.clone(), bytes)
        })
        .collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), safetensors::serialize(views, None).unwrap()).unwrap();
    file
}

#[test]
fn weights_come_from_pytorch_by_name() {
    let architecture = architecture();
    let weights = weights(&architecture, 5);
    let file = safetensors_file(&weights, |_| {});
    assert_eq!(pytorch::read(&architecture, file.path()).unwrap(), weights);
    // As the toolbox of the official repository saves it.
    let file = safetensors_file(&weights, |tensors| {
        for (name, ..) in tensors {
            name.insert_str(0, "generator.");
        }
    });
    assert_eq!(pytorch::read(&architecture, file.path()).unwrap(), weights);
}

#[test]
fn the_full_network_has_the_official_names() {
    let names: Vec<String> =
        Architecture::new(Size::full(4)).parameters().iter().map(|(name, ..)| official(name)).collect();
    for name in [
        "conv3.weight",
        "path1.0.arr.15.PAConv.k2.bias",
        "path1.0.arr.0.k1.0.weight",
        "path1.1.arr.0.attn.temperature",
        "path1.1.arr.0.norm2.body.bias",
        "path1.1.arr.0.ffn.dwconv.weight",
        "path2.1.bias",
    ] {
        assert!(names.iter().any(|found| found == name), "{name}");
    }
    let mut unique = names.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), names.len());
}

#[test]
fn foreign_weights_are_refused_with_their_name() {
    let architecture = architecture();
    let weights = weights(&architecture, 5);
    /// Name, shape and bytes of every tensor.
    type Tensors = Vec<(String, Vec<usize>, Vec<u8>)>;
    let refused = |change: &dyn Fn(&mut Tensors)| {
        let file = safetensors_file(&weights, change);
        let error = pytorch::read(&architecture, file.path()).unwrap_err();
        assert!(error.to_string().starts_with(&file.path().display().to_string()), "{error}");
        error.kind
    };
    let name = "path1.0.arr.1.conv1_b.weight";
    let missing = refused(&|tensors| tensors.retain(|(found, ..)| found != name));
    assert!(matches!(missing, ImportErrorKind::Missing(found) if found == name));
    let shape = refused(&|tensors| {
        tensors
            .iter_mut()
            .filter(|(found, ..)| found == name)
            .for_each(|(_, shape, _)| *shape = vec![8, 4, 1, 1])
    });
    assert!(
        matches!(shape, ImportErrorKind::Shape { name: found, expected, .. } if found == name && expected == [4, 8, 1, 1])
    );
    let unknown = refused(&|tensors| tensors.push(("path3.0.weight".into(), vec![1], vec![0; 4])));
    assert!(matches!(unknown, ImportErrorKind::Unknown(found) if found == "path3.0.weight"));
    let broken = refused(&|tensors| tensors[0].2[..4].copy_from_slice(&f32::NAN.to_le_bytes()));
    assert!(matches!(broken, ImportErrorKind::NotFinite(found) if found == "conv3.weight"));

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"no weights").unwrap();
    assert!(matches!(
        pytorch::read(&architecture, file.path()).unwrap_err().kind,
        ImportErrorKind::Format(_)
    ));
}

/// Files of the zoo, and what they have at least on Set5, in dB.
const SET5: [(Model, &str, f64); 4] = [
    (Model::ScetX2, "scet-x2.onnx", 36.3),
    (Model::ScetX2, "seeds/scet-x2-1.onnx", 36.3),
    (Model::ScetX4, "scet-x4.onnx", 30.0),
    (Model::ScetX4, "seeds/scet-x4-1.onnx", 30.0),
];

#[test]
fn the_zoo_is_as_good_as_its_card_says() {
    let folder = data::folder();
    if !folder.join("set5").is_dir() {
        eprintln!(
            "SKIPPED: no {}; set MIXEL_DATA to the folder of the data sets",
            folder.join("set5").display()
        );
        return;
    }
    for (model, file, least) in SET5 {
        let architecture = model.architecture();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("zoo").join(file);
        let weights = onnx::read(&architecture, &path).unwrap();
        let (pairs, _) = pairs::test(&folder, Set::Set5, architecture.size.scale).unwrap();
        let enlarger = Enlarger::new(&architecture, &weights);
        let found = score::mean(&pairs, |pair| Ok(score::float(&enlarger, pair))).unwrap().psnr;
        assert!(found > least, "{file}: {found:.2} dB, at least {least} expected");
    }
}
