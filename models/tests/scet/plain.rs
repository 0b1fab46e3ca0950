//! The network in f64, value by value, after the paper's formulas.

use std::collections::HashMap;

use mixel_models::weights::Weight;

/// A network by the names of its weights.
pub struct Plain<'a> {
    weights: HashMap<&'a str, &'a Weight>,
}

/// `[channels][height][width]`.
#[derive(Clone)]
pub struct Map {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub values: Vec<f64>,
}

impl Map {
    fn new([channels, height, width]: [usize; 3], value: impl Fn(usize, usize, usize) -> f64) -> Self {
        let values = (0..channels * height * width)
            .map(|at| value(at / (height * width), at / width % height, at % width))
            .collect();
        Self { channels, height, width, values }
    }

    fn at(&self, channel: usize, row: usize, column: usize) -> f64 {
        self.values[(channel * self.height + row) * self.width + column]
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self { values: self.values.iter().map(|&value| f(value)).collect(), ..*self }
    }

    fn with(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        let values = self.values.iter().zip(&other.values).map(|(&a, &b)| f(a, b)).collect();
        Self { values, ..*self }
    }

    fn channels(&self, range: std::ops::Range<usize>) -> Self {
        Self::new([range.len(), self.height, self.width], |c, y, x| self.at(range.start + c, y, x))
    }

    pub fn shuffled(&self, scale: usize) -> Self {
        let out = [self.channels / (scale * scale), self.height * scale, self.width * scale];
        Self::new(out, |c, y, x| {
            self.at(c * scale * scale + y % scale * scale + x % scale, y / scale, x / scale)
        })
    }
}

fn lrelu(x: f64) -> f64 {
    if x < 0.0 { 0.2 * x } else { x }
}

/// `x * Phi(x)`, `erf` by its power series; exact enough below |x| = 5.
fn gelu(x: f64) -> f64 {
    let z = x / std::f64::consts::SQRT_2;
    let (mut term, mut sum) = (z, z);
    for n in 1..120 {
        term *= -z * z / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    x * (0.5 + sum / std::f64::consts::PI.sqrt())
}

impl<'a> Plain<'a> {
    pub fn new(weights: &'a [Weight]) -> Self {
        Self { weights: weights.iter().map(|weight| (weight.name.as_str(), weight)).collect() }
    }

    fn conv(&self, path: &str, x: &Map) -> Map {
        let weight = self.weights[format!("{path}/w").as_str()];
        let bias = self.weights.get(format!("{path}/b").as_str());
        let [outputs, depth, size, _] = weight.shape[..] else { panic!("a convolution") };
        let groups = x.channels / depth;
        let edge = size as isize / 2;
        Map::new([outputs, x.height, x.width], |output, y, column| {
            let first = output / (outputs / groups) * depth;
            let mut sum = bias.map_or(0.0, |bias| f64::from(bias.values[output]));
            for (index, &value) in
                weight.values[output * depth * size * size..][..depth * size * size].iter().enumerate()
            {
                let (input, row, col) = (index / (size * size), index / size % size, index % size);
                let (row, col) = (y as isize + row as isize - edge, column as isize + col as isize - edge);
                if (0..x.height as isize).contains(&row) && (0..x.width as isize).contains(&col) {
                    sum += f64::from(value) * x.at(first + input, row as usize, col as usize);
                }
            }
            sum
        })
    }

    fn norm(&self, path: &str, x: &Map) -> Map {
        let [scale, bias] =
            ["scale", "bias"].map(|part| &self.weights[format!("{path}/norm_{part}").as_str()].values);
        Map::new([x.channels, x.height, x.width], |channel, row, column| {
            let pixel: Vec<f64> = (0..x.channels).map(|channel| x.at(channel, row, column)).collect();
            let mean = pixel.iter().sum::<f64>() / pixel.len() as f64;
            let variance = pixel.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / pixel.len() as f64;
            f64::from(scale[channel]) * (pixel[channel] - mean) / (variance + 1e-5).sqrt()
                + f64::from(bias[channel])
        })
    }

    pub fn scpa(&self, path: &str, x: &Map) -> Map {
        let conv = |part: &str, x: &Map| self.conv(&format!("{path}/{part}"), x);
        let a = conv("plain", &conv("split_a", x).map(lrelu)).map(lrelu);
        let b = conv("split_b", x).map(lrelu);
        let map = conv("map", &b).map(|x| 1.0 / (1.0 + (-x).exp()));
        let b = conv("calibrated", &conv("mapped", &b).with(&map, |x, y| x * y)).map(lrelu);
        let both = Map::new([2 * a.channels, x.height, x.width], |channel, row, column| {
            if channel < a.channels {
                a.at(channel, row, column)
            } else {
                b.at(channel - a.channels, row, column)
            }
        });
        conv("merge", &both).with(x, |x, y| x + y)
    }

    pub fn mdta(&self, x: &Map) -> Map {
        let temperature = &self.weights["mdta/temperature"].values;
        let width = x.channels / temperature.len();
        let qkv = self.conv("mdta/local", &self.conv("mdta/qkv", &self.norm("mdta", x)));
        let [query, key, value] =
            [0, 1, 2].map(|part| qkv.channels(part * x.channels..(part + 1) * x.channels));
        let pixels = x.height * x.width;
        let row = |map: &Map, channel: usize| map.values[channel * pixels..][..pixels].to_vec();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut out = vec![0.0; x.values.len()];
        for (head, &temperature) in temperature.iter().enumerate() {
            for i in head * width..(head + 1) * width {
                let query = row(&query, i);
                let scores: Vec<f64> = (head * width..(head + 1) * width)
                    .map(|j| {
                        let key = row(&key, j);
                        let lengths =
                            dot(&query, &query).sqrt().max(1e-12) * dot(&key, &key).sqrt().max(1e-12);
                        (f64::from(temperature) * dot(&query, &key) / lengths).exp()
                    })
                    .collect();
                let sum: f64 = scores.iter().sum();
                for (j, score) in (head * width..).zip(&scores) {
                    for (out, value) in out[i * pixels..][..pixels].iter_mut().zip(row(&value, j)) {
                        *out += score / sum * value;
                    }
                }
            }
        }
        self.conv("mdta/out", &Map { values: out, ..*x }).with(x, |x, y| x + y)
    }

    pub fn gdfn(&self, x: &Map) -> Map {
        let inner = self.conv("gdfn/local", &self.conv("gdfn/in", &self.norm("gdfn", x)));
        let half = inner.channels / 2;
        let gated = inner.channels(0..half).with(&inner.channels(half..2 * half), |u, v| gelu(u) * v);
        self.conv("gdfn/out", &gated).with(x, |x, y| x + y)
    }

    pub fn network(&self, blocks: usize, scale: usize, x: &Map) -> Map {
        let shallow = self.conv("shallow", x);
        let mut deep = shallow.clone();
        for block in 0..blocks {
            deep = self.scpa(&format!("scpa{block}"), &deep);
        }
        let deep = self.gdfn(&self.mdta(&deep));
        let deep = self.conv("deep/image", &self.conv("deep/up", &deep).shuffled(scale));
        self.conv("image", &shallow.shuffled(scale)).with(&deep, |x, y| x + y)
    }
}
