//! The functions of one value, in double precision: what tables are computed from.

use crate::graph::Function;

/// `functions` applied to `x`, first to last.
pub fn chain(functions: &[Function], x: f64) -> f64 {
    functions.iter().fold(x, |x, function| apply(function, x))
}

/// `function` of `x`, as ONNX defines it; results that are not finite are left to the caller.
pub fn apply(function: &Function, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match *function {
        Function::Clip(clip) => x.max(clip.min as f64).min(clip.max as f64),
        Function::LeakyRelu { alpha } => {
            if x < 0.0 {
                alpha as f64 * x
            } else {
                x
            }
        }
        Function::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Function::HardSigmoid { alpha, beta } => (alpha as f64 * x + beta as f64).clamp(0.0, 1.0),
        Function::Sigmoid => sigmoid(x),
        Function::Silu => x * sigmoid(x),
        Function::Tanh => x.tanh(),
        Function::Gelu => 0.5 * x * (1.0 + libm::erf(x / std::f64::consts::SQRT_2)),
        Function::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + inner.tanh())
        }
        Function::Elu { alpha } => {
            if x < 0.0 {
                alpha as f64 * x.exp_m1()
            } else {
                x
            }
        }
        Function::Erf => libm::erf(x),
        Function::Exp => x.exp(),
        Function::Log => x.ln(),
        Function::Sqrt => x.sqrt(),
        Function::Reciprocal => 1.0 / x,
        Function::Abs => x.abs(),
        Function::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        Function::Affine { scale, offset } => scale as f64 * x + offset as f64,
        Function::Power { exponent } => x.powf(exponent as f64),
    }
}
