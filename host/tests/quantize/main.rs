//! Quantization and lowering against float arithmetic, on graphs by hand.

mod graphs;
#[path = "../support/mod.rs"]
mod support;

use graphs::{Build, RELU, evaluate, measured_sqnr_db, observe, run, samples, sqnr_db};
use mixel::ErrorKind;
use mixel::compile::{CalibrationData, CompileOptions, Target, prepare};
use mixel::graph::{
    Arithmetic, Clip, Constant, Coordinates, Function, Integers, NearestRounding, Op, Pooling, Quantization,
    Reduction, Sampling, ShuffleMode,
};
use mixel::quantize::{
    Activations, Calibration, Histogram, Options, Range, dequantize_value, equalize, quantize, quantize_value,
};
use mixel_core::pack::Layout;
use mixel_core::plan::DType;
use mixel_core::plan::cursor::Cursor;
use mixel_core::plan::write;
use support::onnx::Onnx;

const INT8: Options = Options {
    activations: Activations::Int8,
    calibration: Calibration::MinMax,
    bias_correction: true,
    equalize: true,
    least_sqnr_db: 0.0,
    weights: Vec::new(),
};

#[test]
fn zero_is_exact_and_the_range_is_covered() {
    for (min, max) in
        [(-1.0, 1.0), (0.0, 6.0), (-3.0, 0.1), (0.2, 0.9), (-5.0, -4.0), (0.0, 0.0), (-1e-9, 1e9)]
    {
        let range = Range::new(min, max);
        let quantization = range.quantization(DType::I8);
        assert_eq!(dequantize_value(quantization.zero_point, &quantization), 0.0);
        let ends = Range::representable(&quantization);
        let slack = 0.5001 * quantization.scale;
        assert!(ends.min <= range.min + slack && ends.max >= range.max - slack, "{range:?} {quantization:?}");
        for real in [range.min, range.max, 0.3 * range.min + 0.7 * range.max] {
            let back = dequantize_value(quantize_value(real as f64, &quantization), &quantization);
            assert!((back - real as f64).abs() <= 1.001 * quantization.scale as f64);
        }
    }
}

#[test]
fn outliers_are_clipped_when_asked() {
    let mut histogram = Histogram::new(Range::new(-1.0, 100.0));
    (0..100_000).for_each(|index| histogram.count(-1.0 + 2.0 * (index % 1000) as f32 / 1000.0));
    histogram.count(100.0);
    let kept = histogram.percentile(0.999);
    assert!(kept.max < 1.1 && kept.min < -0.9, "{kept:?}");
    let least = histogram.least_error();
    let error = |range: &Range| histogram.mean_squared_error(&range.quantization(DType::I8));
    assert!(error(&least) <= error(&histogram.range));
}

#[test]
fn convolutional_network() {
    let mut build = Build::new(1);
    let x = build.input(&[1, 8, 8, 3]);
    let a = build.conv(x, 16, 3, 1, RELU);
    let b = build.conv(a, 16, 3, 16, RELU);
    let c = build.conv(b, 16, 1, 1, Clip::NONE);
    let sum = build.node(Op::Binary { op: Arithmetic::Add, clip: RELU }, &[a, c], &[1, 8, 8, 16]);
    let pool = Op::Pool { pooling: Pooling::Average, window: graphs::window(3, 2, 1) };
    let pooled = build.node(pool, &[sum], &[1, 4, 4, 16]);
    let pool = Op::Pool { pooling: Pooling::Max, window: graphs::window(2, 2, 0) };
    let pooled = build.node(pool, &[pooled], &[1, 2, 2, 16]);
    let mean = Op::Reduce { reduction: Reduction::Mean, axes: vec![1, 2] };
    let mean = build.node(mean, &[pooled], &[1, 16]);
    let y = build.linear(mean, 10, Clip::NONE);
    let graph = build.output(y);
    let db = measured_sqnr_db(&graph, &INT8);
    println!("convolutional network: {db:.1} dB");
    assert!(db > 30.0, "{db}");
    let wide = measured_sqnr_db(&graph, &Options { activations: Activations::Int16, ..INT8 });
    println!("with 16-bit activations: {wide:.1} dB");
    assert!(wide > db + 6.0, "{wide}");
}

/// A block's input and its branches: rounded once, a sum is nearer to the real one than rounded twice.
#[test]
fn a_sum_of_three_is_nearer_than_two_sums() {
    let network = |three: bool| {
        let mut build = Build::new(5);
        let dims = [1, 8, 8, 16];
        let x = [build.input(&dims), build.input(&dims), build.input(&dims)];
        let y = if three {
            build.node(Op::Sum3 { clip: Clip::NONE }, &x, &dims)
        } else {
            let add = || Op::Binary { op: Arithmetic::Add, clip: Clip::NONE };
            let inner = build.node(add(), &x[..2], &dims);
            build.node(add(), &[inner, x[2]], &dims)
        };
        measured_sqnr_db(&build.output(y), &INT8)
    };
    let (once, twice) = (network(true), network(false));
    println!("sum of three: {once:.2} dB, two sums: {twice:.2} dB");
    assert!(once > twice + 0.3, "{once} {twice}");
}

#[test]
fn mixer_network() {
    let mut build = Build::new(2);
    let x = build.input(&[1, 6, 16]);
    let gamma = build.graph.constant("gamma", &[16], vec![1.2; 16]);
    let beta = build.random_constant(&[16], 0.2);
    let normal = build.node(Op::LayerNorm { epsilon: 1e-5 }, &[x, gamma, beta], &[1, 6, 16]);
    let turned = build.node(Op::Transpose { perm: vec![0, 2, 1] }, &[normal], &[1, 16, 6]);
    let mixed = build.linear(turned, 6, Clip::NONE);
    let active = build.node(Op::Unary(vec![Function::Gelu]), &[mixed], &[1, 16, 6]);
    let back = build.node(Op::Transpose { perm: vec![0, 2, 1] }, &[active], &[1, 6, 16]);
    let sum = build.node(Op::Binary { op: Arithmetic::Add, clip: Clip::NONE }, &[x, back], &[1, 6, 16]);
    let query = build.linear(sum, 8, Clip::NONE);
    let key = build.linear(sum, 8, Clip::NONE);
    let product = Op::MatMul { transpose_b: true, scale: 0.35 };
    let scores = build.node(product, &[query, key], &[1, 6, 6]);
    let weights = build.node(Op::Softmax { axis: 2 }, &[scores], &[1, 6, 6]);
    let product = Op::MatMul { transpose_b: false, scale: 1.0 };
    let context = build.node(product, &[weights, sum], &[1, 6, 16]);
    let gated =
        build.node(Op::Binary { op: Arithmetic::Mul, clip: Clip::NONE }, &[context, sum], &[1, 6, 16]);
    let graph = build.output(gated);
    let db = measured_sqnr_db(&graph, &INT8);
    println!("mixer network: {db:.1} dB");
    assert!(db > 25.0, "{db}");
    // Operands of matrix products keep 8 bits, and that is said.
    let wide = Options { activations: Activations::Int16, ..INT8 };
    let statistics = observe(&graph, &samples(&graph, 4, 1));
    let quantized = quantize(graph.clone(), Some(&statistics), &wide).unwrap();
    assert_eq!(quantized.activation(query).unwrap().dtype, DType::I8);
    assert!(quantized.notes.iter().any(|note| note.path == "MatMul_8"), "{:?}", quantized.notes);
    assert!(measured_sqnr_db(&graph, &wide) > db);
}

#[test]
fn movements_are_exact() {
    let mut build = Build::new(3);
    let x = build.input(&[1, 4, 6, 8]);
    let space = build.node(Op::DepthToSpace { block: 2, mode: ShuffleMode::Dcr }, &[x], &[1, 8, 12, 2]);
    let turned = build.node(Op::Transpose { perm: vec![0, 2, 1, 3] }, &[space], &[1, 12, 8, 2]);
    let slice = Op::Slice { starts: vec![0, 11, 1, 0], steps: vec![1, -1, 2, 1] };
    let part = build.node(slice, &[turned], &[1, 12, 4, 2]);
    let pad = Op::Pad { before: vec![0, 1, 0, 0], after: vec![0, 1, 2, 0], value: 0.0 };
    let padded = build.node(pad, &[part], &[1, 14, 6, 2]);
    let deep = build.node(Op::SpaceToDepth { block: 2 }, &[padded], &[1, 7, 3, 8]);
    let joined = build.node(Op::Concat { axis: 2 }, &[deep, deep], &[1, 7, 6, 8]);
    let flat = build.node(Op::Reshape, &[joined], &[1, 336]);
    let graph = build.output(flat);
    let statistics = observe(&graph, &samples(&graph, 4, 1));
    let quantized = quantize(graph.clone(), Some(&statistics), &INT8).unwrap();
    let scale = quantized.activation(graph.inputs[0]).unwrap().scale;
    for sample in samples(&graph, 2, 1) {
        let wanted = &evaluate(&graph, &sample)[&flat];
        let found = &run(&quantized, Layout::Generic, &sample)[0];
        let worst = wanted.iter().zip(found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 0.501 * scale, "{worst} {scale}");
    }
}

#[test]
fn equalization_keeps_the_function_and_balances_channels() {
    let mut build = Build::new(4);
    let x = build.input(&[1, 6, 6, 4]);
    let a = build.conv(x, 8, 3, 1, RELU);
    let b = build.conv(a, 8, 3, 8, RELU);
    let y = build.conv(b, 5, 1, 1, Clip::NONE);
    let mut graph = build.output(y);
    // Channels of very different sizes.
    for index in [1, 2] {
        let id = graph.nodes[0].inputs[index];
        let data = &mut graph.value_mut(id).constant.as_mut().unwrap().data;
        let row = data.len() / 8;
        data.iter_mut().enumerate().for_each(|(index, w)| *w *= 1.5f32.powi((index / row) as i32));
    }
    let mut statistics = observe(&graph, &samples(&graph, 8, 1));
    let mut equal = graph.clone();
    equalize(&mut equal, &mut statistics, &Options { equalize: true, ..Options::default() });
    for sample in samples(&graph, 3, 5) {
        let (before, after) = (&evaluate(&graph, &sample), &evaluate(&equal, &sample));
        let db = sqnr_db(before[&y].iter().zip(&after[&y]));
        assert!(db > 110.0, "{db}");
        let origin = equal.value(a).origin.clone().unwrap();
        let scaled: Vec<f32> =
            before[&a].iter().enumerate().map(|(i, x)| x * origin.channel_scale[i % 8]).collect();
        assert!(sqnr_db(scaled.iter().zip(&after[&a])) > 110.0);
    }
    // The statistics are those that observing the equalized graph gives.
    let mut bare = equal.clone();
    bare.value_mut(a).origin.as_mut().unwrap().channel_scale.clear();
    bare.value_mut(b).origin.as_mut().unwrap().channel_scale.clear();
    let again = observe(&bare, &samples(&graph, 8, 1));
    let magnitudes = |of: &mixel::quantize::Statistics| -> Vec<f32> {
        of.get(a).unwrap().channels.iter().map(|channel| channel.magnitude()).collect()
    };
    let (ours, theirs) = (magnitudes(&statistics), magnitudes(&again));
    assert!(ours.iter().zip(&theirs).all(|(a, b)| (a / b - 1.0).abs() < 1e-4), "{ours:?} {theirs:?}");
    let spread =
        |m: &[f32]| m.iter().copied().fold(0.0, f32::max) / m.iter().copied().fold(f32::MAX, f32::min);
    assert!(spread(&ours) < 1.1, "{ours:?}");
    let plain = measured_sqnr_db(&graph, &Options { equalize: false, ..INT8 });
    let balanced = measured_sqnr_db(&graph, &INT8);
    println!("equalization: {plain:.1} dB without, {balanced:.1} dB with");
    assert!(balanced > plain);
}

#[test]
fn bias_correction_removes_the_mean_error() {
    let mut build = Build::new(5);
    let x = build.input(&[1, 20, 32]);
    let positive = build.node(Op::Unary(vec![Function::Clip(RELU)]), &[x], &[1, 20, 32]);
    let y = build.linear(positive, 8, Clip::NONE);
    let graph = build.output(y);
    let inputs = samples(&graph, 8, 1);
    let statistics = observe(&graph, &inputs);
    let mean_error = |bias_correction: bool| -> f64 {
        let options = Options { bias_correction, equalize: false, ..INT8 };
        let quantized = quantize(graph.clone(), Some(&statistics), &options).unwrap();
        // Float arithmetic with the rounded weights: only their error is left.
        let mut rounded = quantized.graph.clone();
        let id = rounded.nodes[1].inputs[1];
        let weights = &quantized.weights[&id];
        let data = &mut rounded.value_mut(id).constant.as_mut().unwrap().data;
        for (index, w) in data.iter_mut().enumerate() {
            *w = weights.data[index] as f32 * weights.scales[index / 32];
        }
        let mut sums = [0.0; 8];
        for sample in &inputs {
            let (wanted, found) = (&evaluate(&graph, sample)[&y], &evaluate(&rounded, sample)[&y]);
            wanted.iter().zip(found).enumerate().for_each(|(i, (a, b))| sums[i % 8] += (a - b) as f64);
        }
        sums.iter().map(|sum| sum.abs()).sum::<f64>() / (8.0 * 160.0)
    };
    let (before, after) = (mean_error(false), mean_error(true));
    println!("mean error: {before:e} without, {after:e} with");
    assert!(after < 0.01 * before);
}

/// A graph whose every quantization is stated, as the importer leaves QDQ models.
fn stated() -> (mixel::graph::Graph, mixel::graph::ValueId) {
    let mut build = Build::new(6);
    let x = build.input(&[1, 4]);
    let weights = build.graph.constant("w", &[3, 4], vec![0.0; 12]);
    let bias = build.graph.constant("b", &[3], vec![0.0; 3]);
    let hidden = build.node(Op::Linear { clip: RELU }, &[x, weights, bias], &[1, 3]);
    let shaped = build.node(Op::Reshape, &[hidden], &[1, 1, 3]);
    let y = build.node(Op::Softmax { axis: 2 }, &[shaped], &[1, 1, 3]);
    let mut graph = build.output(y);
    let q: Vec<i32> = (0..12).map(|i| i * 21 - 127).collect();
    let scales = vec![0.5, 0.25, 0.125];
    let data = q.iter().enumerate().map(|(i, &q)| q as f32 * scales[i / 4]).collect();
    let integers = Some(Integers { data: q, scales, zero_points: vec![0; 3], axis: 0, bits: 8 });
    graph.value_mut(weights).constant = Some(Constant { data, integers });
    let scales = vec![0.05, 0.025, 0.0125];
    let q = vec![100, -200, 300];
    let data = q.iter().zip(&scales).map(|(&q, s)| q as f32 * s).collect();
    let integers = Some(Integers { data: q, scales, zero_points: vec![0; 3], axis: 0, bits: 32 });
    graph.value_mut(bias).constant = Some(Constant { data, integers });
    graph.value_mut(x).given = Some(Quantization { scale: 0.1, zero_point: -3, dtype: DType::I8 });
    graph.value_mut(hidden).given = Some(Quantization { scale: 0.7, zero_point: -100, dtype: DType::I8 });
    (graph, hidden)
}

#[test]
fn stated_quantization_is_kept() {
    let (graph, hidden) = stated();
    let quantized = quantize(graph.clone(), None, &Options::default()).unwrap();
    assert_eq!(quantized.activation(hidden), graph.value(hidden).given);
    assert_eq!(quantized.activation(graph.nodes[1].output), graph.value(hidden).given);
    let softmax = quantized.activation(graph.outputs[0]).unwrap();
    assert_eq!((softmax.scale, softmax.zero_point), (1.0 / 256.0, -128));
    let weights = &quantized.weights[&graph.nodes[0].inputs[1]];
    assert_eq!(weights.data, (0..12).map(|i| (i * 21 - 127) as i8).collect::<Vec<_>>());
    assert_eq!(weights.scales, [0.5, 0.25, 0.125]);
    // The plan's bias is the stated integer with the zero point's share, the range is the relu's.
    let program = mixel::lower::lower(&quantized, Layout::Generic).unwrap();
    assert_eq!(program.operators.len(), 2, "a reshape is no work");
    let mut params = Cursor::new(&program.operators[0].params);
    let [_, channels] = [(); 2].map(|()| write::Constant::read(&mut params));
    let at = channels.offset as usize;
    let bias = i32::from_le_bytes(program.data[at..at + 4].try_into().unwrap());
    assert_eq!(bias, 100 + 3 * (-127 - 106 - 85 - 64));
    assert_eq!(params.range(), (-100, 127));
    let db = {
        let sample = vec![vec![1.0, -0.5, 2.0, 0.1]];
        let wanted = &evaluate(&graph, &sample)[&graph.outputs[0]];
        sqnr_db(wanted.iter().zip(&run(&quantized, Layout::Generic, &sample)[0]))
    };
    assert!(db > 30.0, "{db}");
}

#[test]
fn different_stated_quantizations_are_rescaled() {
    let (mut graph, _) = stated();
    let shaped = graph.nodes[1].output;
    graph.value_mut(shaped).given = Some(Quantization { scale: 1.1, zero_point: 5, dtype: DType::I8 });
    let quantized = quantize(graph.clone(), None, &Options::default()).unwrap();
    let program = mixel::lower::lower(&quantized, Layout::Generic).unwrap();
    let kinds: Vec<_> = program.operators.iter().map(|operator| format!("{:?}", operator.kind)).collect();
    assert_eq!(kinds, ["Linear", "Lut", "Softmax"]);
}

#[test]
fn gaps_are_refused_with_the_node() {
    let (mut graph, hidden) = stated();
    graph.value_mut(hidden).given = None;
    let error = quantize(graph.clone(), None, &Options::default()).unwrap_err();
    assert_eq!((error.kind, &error.path), (ErrorKind::Quantization, &graph.nodes[0].name));
    let mut build = Build::new(7);
    let x = build.input(&[1, 4]);
    let y = build.linear(x, 2, Clip::NONE);
    let error = quantize(build.output(y), None, &Options::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Calibration);
    assert!(error.hint.contains("--calib"), "{error}");
}

#[test]
fn noisy_values_get_sixteen_bits() {
    let mut build = Build::new(8);
    let x = build.input(&[1, 64, 8]);
    let h = build.linear(x, 8, Clip::NONE);
    let y = build.linear(h, 4, Clip::NONE);
    let mut graph = build.output(y);
    // One hidden channel is a hundred times louder than the others and hardly counts for the output.
    let (first, second) = (graph.nodes[0].inputs[1], graph.nodes[1].inputs[1]);
    let loud = |index: usize| if index == 0 { 1000.0 } else { 1.0 };
    let data = &mut graph.value_mut(first).constant.as_mut().unwrap().data;
    data.iter_mut().enumerate().for_each(|(index, w)| *w *= loud(index / 8));
    let data = &mut graph.value_mut(second).constant.as_mut().unwrap().data;
    data.iter_mut().enumerate().for_each(|(index, w)| *w /= loud(index % 8));
    let auto = Options { activations: Activations::Auto, least_sqnr_db: 50.0, equalize: false, ..INT8 };
    let statistics = observe(&graph, &samples(&graph, 4, 1));
    let quantized = quantize(graph.clone(), Some(&statistics), &auto).unwrap();
    assert_eq!(quantized.activation(h).unwrap().dtype, DType::I16);
    assert!(quantized.notes.iter().any(|note| note.path == graph.value(h).name), "{:?}", quantized.notes);
    let narrow = measured_sqnr_db(&graph, &Options { equalize: false, ..INT8 });
    let wide = measured_sqnr_db(&graph, &auto);
    println!("outlier channel: {narrow:.1} dB with 8 bits, {wide:.1} dB with 16 where needed");
    assert!(wide > narrow + 10.0);
}

/// Each operator alone, with 8 and with 16 bits, against float: whatever lowering folds, packs and tabulates is right.
#[test]
fn every_operator_alone() {
    const IMAGE: [usize; 4] = [1, 4, 6, 8];
    const C: Clip = Clip::NONE;
    let resize = |sampling, coordinates| Op::Resize { sampling, coordinates, scales: [2.0, 2.0] };
    let nearest = Sampling::Nearest { rounding: NearestRounding::Floor };
    let reduce = |reduction, axes: &[usize]| Op::Reduce { reduction, axes: axes.to_vec() };
    let pool = |pooling| Op::Pool { pooling, window: graphs::window(3, 2, 1) };
    let one_input: Vec<(Op, Vec<usize>)> = vec![
        (Op::Unary(vec![Function::Sigmoid]), IMAGE.to_vec()),
        (Op::Unary(vec![Function::HardSwish, Function::Affine { scale: 0.5, offset: 0.1 }]), IMAGE.to_vec()),
        (Op::Unary(vec![Function::GeluTanh]), IMAGE.to_vec()),
        (Op::Unary(vec![Function::Clip(Clip { min: -0.5, max: 1.0 })]), IMAGE.to_vec()),
        (Op::Softmax { axis: 3 }, IMAGE.to_vec()),
        (Op::Softmax { axis: 1 }, IMAGE.to_vec()),
        (Op::L2Norm { axes: vec![3], epsilon: 1e-6 }, IMAGE.to_vec()),
        (pool(Pooling::Max), vec![1, 2, 3, 8]),
        (pool(Pooling::Average), vec![1, 2, 3, 8]),
        (pool(Pooling::AverageWithPad), vec![1, 2, 3, 8]),
        (reduce(Reduction::Mean, &[1, 2]), vec![1, 8]),
        (reduce(Reduction::Sum, &[3]), vec![1, 4, 6, 1]),
        (reduce(Reduction::Max, &[1]), vec![1, 6, 8]),
        (Op::Slice { starts: vec![0, 1, 5, 0], steps: vec![1, 1, -2, 3] }, vec![1, 3, 3, 3]),
        (Op::Pad { before: vec![0, 1, 2, 0], after: vec![0, 0, 1, 1], value: 0.7 }, vec![1, 5, 9, 9]),
        (Op::Gather { axis: 2, indices: vec![4, 0, 0, 5] }, vec![1, 4, 4, 8]),
        (Op::Gather { axis: 3, indices: vec![6, 4, 2] }, vec![1, 4, 6, 3]),
        (Op::Transpose { perm: vec![0, 3, 1, 2] }, vec![1, 8, 4, 6]),
        (Op::DepthToSpace { block: 2, mode: ShuffleMode::Crd }, vec![1, 8, 12, 2]),
        (Op::SpaceToDepth { block: 2 }, vec![1, 2, 3, 32]),
        (resize(nearest, Coordinates::Asymmetric), vec![1, 8, 12, 8]),
        (resize(Sampling::Bilinear, Coordinates::HalfPixel), vec![1, 8, 12, 8]),
        (resize(Sampling::Bilinear, Coordinates::AlignCorners), vec![1, 8, 12, 8]),
    ];
    for (op, to) in one_input {
        alone(format!("{op:?}"), |build| {
            let x = build.input(&IMAGE);
            build.node(op, &[x], &to)
        });
    }
    alone("Expand".to_owned(), |build| {
        let x = build.input(&[1, 6, 1]);
        build.node(Op::Expand, &[x], &[4, 6, 8])
    });
    for op in [Arithmetic::Add, Arithmetic::Sub, Arithmetic::Mul] {
        alone(format!("{op:?} of two"), |build| {
            let (a, b) = (build.input(&[1, 4, 1, 8]), build.input(&[6, 8]));
            build.node(Op::Binary { op, clip: C }, &[a, b], &IMAGE)
        });
        alone(format!("{op:?} of a constant"), |build| {
            let (a, b) = (build.input(&IMAGE), build.random_constant(&[8], 2.0));
            build.node(Op::Binary { op, clip: RELU }, &[a, b], &IMAGE)
        });
    }
    for clip in [C, Clip { min: -0.5, max: 1.0 }] {
        alone(format!("Sum3 {clip:?}"), |build| {
            let x = [build.input(&IMAGE), build.input(&IMAGE), build.input(&IMAGE)];
            build.node(Op::Sum3 { clip }, &x, &IMAGE)
        });
    }
    alone("Div".to_owned(), |build| {
        let (a, b) = (build.input(&IMAGE), build.input(&[1, 1, 6, 1]));
        let b = build.node(
            Op::Unary(vec![Function::Abs, Function::Affine { scale: 1.0, offset: 1.0 }]),
            &[b],
            &[1, 1, 6, 1],
        );
        build.node(Op::Binary { op: Arithmetic::Div, clip: C }, &[a, b], &IMAGE)
    });
    for groups in [1, 2, 8] {
        alone(format!("Conv in {groups} groups"), |build| {
            let x = build.input(&IMAGE);
            build.conv(x, 16, 3, groups, C)
        });
        alone(format!("ConvTranspose in {groups} groups"), |build| {
            let x = build.input(&IMAGE);
            let weights = build.random_constant(&[8, 3, 3, 8 / groups], 0.2);
            let bias = build.random_constant(&[8], 0.1);
            let window = graphs::window(3, 2, 1);
            build.node(Op::ConvTranspose { window, groups, clip: C }, &[x, weights, bias], &[1, 7, 11, 8])
        });
    }
    alone("GroupNorm".to_owned(), |build| {
        let (x, gamma, beta) =
            (build.input(&IMAGE), build.random_constant(&[8], 1.0), build.random_constant(&[8], 1.0));
        build.node(Op::GroupNorm { groups: 2, epsilon: 1e-5 }, &[x, gamma, beta], &IMAGE)
    });
}

/// One operator with 8 and with 16 bits; the outputs of all layouts are equal, and 16 bits are not worse.
fn alone(name: String, make: impl FnOnce(&mut Build) -> mixel::graph::ValueId) {
    let mut build = Build::new(9);
    let y = make(&mut build);
    let graph = build.output(y);
    let narrow = measured_sqnr_db(&graph, &INT8);
    let wide = measured_sqnr_db(&graph, &Options { activations: Activations::Int16, ..INT8 });
    println!("{narrow:6.1} dB {wide:6.1} dB  {name}");
    assert!(narrow > 25.0, "{name}: {narrow:.1} dB");
    assert!(wide > narrow - 0.5, "{name}: {wide:.1} dB with 16 bits");
}

/// Values between operators that the float model does not have: a batch normalisation on its own is two operators, and a
/// relu in front of another function is in one table with it.
#[test]
fn values_that_the_float_model_lacks_get_a_range() {
    let mut model = Onnx::new(17);
    model.input("x", &[1, 3, 4, 4]).random("w", &[4, 3, 1, 1]).random("mean", &[4]).output("y");
    model.random("scale", &[4]).random("bias", &[4]).floats("variance", &[4], &[0.5, 1.0, 1.5, 2.0]);
    model.node("Conv", &["x", "w"], "conv", &[]).node("Relu", &["conv"], "relu", &[]);
    model.node("Neg", &["relu"], "negative", &[]);
    model.node("BatchNormalization", &["negative", "scale", "bias", "mean", "variance"], "y", &[]);
    let options = CompileOptions { calibration: CalibrationData::Random, ..CompileOptions::default() };
    let prepared = model.with_file(|path| prepare(path, &options)).unwrap();
    prepared.compile(Target::Generic).unwrap();
}
