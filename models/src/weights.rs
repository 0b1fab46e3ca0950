//! Weights outside of the training library: named tensors, their start, and the way into a network and back.

use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear};
use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng;

/// One tensor of weights. Linear layers are `[inputs, outputs]`, convolutions `[outputs, inputs / groups, height, width]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// Path, such as `mixer0/token/w1`.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// Values, last dimension innermost.
    pub values: Vec<f32>,
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// Uniform in plus and minus `1 / sqrt(inputs)`, PyTorch's default for a linear layer.
    Uniform {
        /// Inputs of the layer.
        inputs: usize,
    },
    /// All ones.
    Ones,
    /// All zeros.
    Zeros,
    /// All this value.
    Fill(f32),
    /// A row for every cell of a grid, row by row: sine and cosine of its column and of its row at rising frequencies.
    Waves {
        /// Cells in a row.
        columns: usize,
        /// Rows.
        rows: usize,
    },
}

/// Name, shape and start of a parameter.
pub type Parameter = (String, Vec<usize>, Start);

/// Fresh weights. The same generator state gives the same weights.
pub fn start(parameters: Vec<Parameter>, rng: &mut impl Rng) -> Vec<Weight> {
    parameters
        .into_iter()
        .map(|(name, shape, start)| {
            let count = shape.iter().product();
            let values = match start {
                Start::Uniform { inputs } => {
                    let bound = 1.0 / (inputs as f32).sqrt();
                    (0..count).map(|_| rng.random_range(-bound..bound)).collect()
                }
                Start::Ones => vec![1.0; count],
                Start::Zeros => vec![0.0; count],
                Start::Fill(value) => vec![value; count],
                Start::Waves { columns, rows } => waves(columns, rows, count / (4 * columns * rows)),
            };
            Weight { name, shape, values }
        })
        .collect()
}

/// See [`Start::Waves`]; the lowest of the `bands` frequencies is half a wave over the grid.
fn waves(columns: usize, rows: usize, bands: usize) -> Vec<f32> {
    let angle = |cell, cells, band| std::f32::consts::PI * band as f32 * (cell as f32 + 0.5) / cells as f32;
    let cell = |index| {
        (1..=bands).flat_map(move |band| {
            let (x, y) = (angle(index % columns, columns, band), angle(index / columns, rows, band));
            [x.sin(), x.cos(), y.sin(), y.cos()]
        })
    };
    (0..columns * rows).flat_map(cell).collect()
}

/// The weights of a network whose fields are in the order of `parameters`.
pub fn collect(network: &impl Module, parameters: Vec<Parameter>) -> Vec<Weight> {
    struct Collect(Vec<Vec<f32>>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let data = param.val().into_data();
            self.0.push(data.iter::<f32>().collect());
        }
    }
    let mut collected = Collect(Vec::new());
    network.visit(&mut collected);
    parameters
        .into_iter()
        .zip(collected.0)
        .map(|((name, shape, _), values)| Weight { name, shape, values })
        .collect()
}

/// Moves `average` towards `weights`, keeping `decay` of it.
pub fn blend(average: &mut [Weight], weights: &[Weight], decay: f32) {
    for (average, weight) in average.iter_mut().zip(weights) {
        for (average, value) in average.values.iter_mut().zip(&weight.values) {
            *average += (1.0 - decay) * (value - *average);
        }
    }
}

/// Takes weights in order, to build a network.
pub struct Loader<'a> {
    weights: core::slice::Iter<'a, Weight>,
    device: &'a Device,
}

impl<'a> Loader<'a> {
    /// From the first weight on.
    ///
    /// # Panics
    /// If the weights are not those of `parameters`, in their order.
    pub fn new(parameters: &[Parameter], weights: &'a [Weight], device: &'a Device) -> Self {
        assert_eq!(weights.len(), parameters.len(), "number of weights");
        for (weight, (name, shape, _)) in weights.iter().zip(parameters) {
            assert_eq!((&weight.name, &weight.shape), (name, shape), "name and shape");
        }
        Self { weights: weights.iter(), device }
    }

    /// The next weight.
    ///
    /// # Panics
    /// If none is left.
    pub fn tensor<const D: usize>(&mut self) -> Param<Tensor<D>> {
        let weight = self.weights.next().expect("as many as parameters");
        Param::from_data(TensorData::new(weight.values.clone(), weight.shape.clone()), self.device)
    }

    /// The next two as a linear layer.
    pub fn linear(&mut self) -> Linear {
        Linear { weight: self.tensor(), bias: Some(self.tensor()) }
    }

    /// The next two as a layer normalisation.
    pub fn norm(&mut self) -> LayerNorm {
        let gamma = self.tensor::<1>();
        let [width] = gamma.dims();
        let mut norm = LayerNormConfig::new(width)
            .with_epsilon(crate::onnx::LAYER_NORM_EPSILON.into())
            .init(self.device);
        norm.gamma = gamma;
        norm.beta = Some(self.tensor());
        norm
    }
}
