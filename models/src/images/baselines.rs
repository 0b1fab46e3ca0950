//! What a network has to beat: classifiers on raw pixels.

use burn::tensor::{Device, Tensor, TensorData};

use super::{Image, VALUES, labels};
use crate::events::baselines::{cholesky, solve};
use crate::train::argmax;

/// A linear classifier on pixels: the class whose value is highest.
pub struct Linear {
    /// Subtracted from every pixel.
    mean: Vec<f32>,
    /// A row a class.
    weights: Vec<Vec<f32>>,
    bias: Vec<f32>,
}

impl Linear {
    /// The class whose mean image is nearest. (Of the squared distances, only what is linear in the image tells classes apart.)
    pub fn nearest_mean(images: &[Image], classes: usize) -> Self {
        let mut weights = vec![vec![0.0; VALUES]; classes];
        let mut counts = vec![0.0; classes];
        for image in images {
            counts[image.label] += 1.0;
            for (sum, pixel) in weights[image.label].iter_mut().zip(image.reals()) {
                *sum += pixel;
            }
        }
        for (row, count) in weights.iter_mut().zip(&counts) {
            row.iter_mut().for_each(|sum| *sum /= count);
        }
        let bias = weights.iter().map(|row| -0.5 * row.iter().map(|x| x * x).sum::<f32>()).collect();
        Self { mean: vec![0.0; VALUES], weights, bias }
    }

    /// The class with the highest value, for every image.
    pub fn predict(&self, images: &[Image]) -> Vec<usize> {
        let class = |image: &Image| {
            let centred: Vec<f32> = image.reals().iter().zip(&self.mean).map(|(x, mean)| x - mean).collect();
            let value = |row: &Vec<f32>| row.iter().zip(&centred).map(|(a, b)| a * b).sum::<f32>();
            let values = self.weights.iter().zip(&self.bias).map(|(row, bias)| value(row) + bias);
            argmax(&values.collect::<Vec<f32>>())
        };
        images.iter().map(class).collect()
    }
}

/// The sums from which ridge regression is solved for any penalty.
pub struct Ridge {
    mean: Vec<f32>,
    /// Products of all pixels with each other, summed over the images.
    products: Vec<Vec<f64>>,
    /// A row a class: products of the pixels with the class.
    targets: Vec<Vec<f64>>,
    shares: Vec<f64>,
}

impl Ridge {
    /// The sums over images.
    pub fn new(images: &[Image], classes: usize) -> Self {
        /// Images at a time, whose sums are in single precision.
        const CHUNK: usize = 500;
        let device = Device::flex();
        let count = images.len() as f64;
        let mut mean = vec![0.0_f64; VALUES];
        for image in images {
            mean.iter_mut().zip(image.reals()).for_each(|(sum, pixel)| *sum += f64::from(pixel) / count);
        }
        let mean: Vec<f32> = mean.iter().map(|&mean| mean as f32).collect();
        let mut shares = vec![0.0; classes];
        images.iter().for_each(|image| shares[image.label] += 1.0 / count);
        let mut products = vec![vec![0.0; VALUES]; VALUES];
        let mut targets = vec![vec![0.0; VALUES]; classes];
        for chunk in images.chunks(CHUNK) {
            let mut values = Vec::with_capacity(chunk.len() * VALUES);
            for image in chunk {
                let centred = image.reals().into_iter().zip(&mean).map(|(x, mean)| x - mean);
                let first = values.len();
                values.extend(centred);
                for (class, row) in targets.iter_mut().enumerate() {
                    let target = f64::from(u8::from(class == image.label)) - shares[class];
                    row.iter_mut().zip(&values[first..]).for_each(|(sum, &x)| *sum += target * f64::from(x));
                }
            }
            let x = Tensor::<2>::from_data(TensorData::new(values, [chunk.len(), VALUES]), &device);
            let sums = x.clone().transpose().matmul(x).into_data();
            for (sum, value) in products.iter_mut().flatten().zip(sums.iter::<f32>()) {
                *sum += f64::from(value);
            }
        }
        Self { mean, products, targets, shares }
    }

    /// The classifier with the penalty `lambda` on squared weights.
    ///
    /// # Panics
    /// If the penalty is so small that the equations have no solution.
    pub fn solve(&self, lambda: f64) -> Linear {
        let mut products = self.products.clone();
        products.iter_mut().enumerate().for_each(|(pixel, row)| row[pixel] += lambda);
        let factor = cholesky(products);
        let weights = self
            .targets
            .iter()
            .map(|target| solve(&factor, target.clone()).into_iter().map(|weight| weight as f32).collect());
        let bias = self.shares.iter().map(|&share| share as f32).collect();
        Linear { mean: self.mean.clone(), weights: weights.collect(), bias }
    }
}

/// Penalties of which the best on the development set is taken.
pub const PENALTIES: [f64; 3] = [300.0, 1000.0, 3000.0];

/// Rows of a table: name, values that it stores, its classes of the test images. Ridge has the penalty that is best on `dev`.
pub fn rows(
    train: &[Image],
    dev: &[Image],
    test: &[Image],
    classes: usize,
) -> Vec<(String, usize, Vec<usize>)> {
    let nearest = Linear::nearest_mean(train, classes);
    let ridge = Ridge::new(train, classes);
    let right = |linear: &Linear| {
        linear.predict(dev).iter().zip(labels(dev)).filter(|&(&class, label)| class == label).count()
    };
    let best = PENALTIES.map(|lambda| (lambda, ridge.solve(lambda)));
    let best = best.into_iter().max_by_key(|(_, linear)| right(linear));
    let (lambda, ridge) = best.expect("penalties to choose from");
    vec![
        ("nearest class mean of pixels".into(), classes * VALUES, nearest.predict(test)),
        (
            format!("ridge regression on pixels (penalty {lambda})"),
            classes * (VALUES + 1),
            ridge.predict(test),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images whose class shows in one pixel.
    fn images() -> Vec<Image> {
        let image = |index: usize| {
            let label = index % 3;
            let mut pixels = vec![100; VALUES];
            pixels[50 * label + 7] = 160 + (index * 37 % 60) as u8;
            pixels[index % 40 + 200] = 130;
            Image { pixels, label }
        };
        (0..30).map(image).collect()
    }

    #[test]
    fn ridge_is_the_solution_of_the_normal_equations() {
        let images = images();
        let lambda = 0.7;
        let ridge = Ridge::new(&images, 3).solve(lambda);
        for class in 0..3 {
            for pixel in [7, 57, 107, 203, 500] {
                // Gradient of the penalised squares at the solution.
                let mut slope = lambda * f64::from(ridge.weights[class][pixel]);
                for image in &images {
                    let centred: Vec<f32> =
                        image.reals().iter().zip(&ridge.mean).map(|(x, m)| x - m).collect();
                    let value: f32 = ridge.weights[class].iter().zip(&centred).map(|(a, b)| a * b).sum();
                    let target = f32::from(u8::from(image.label == class));
                    slope += f64::from((value + ridge.bias[class] - target) * centred[pixel]);
                }
                assert!(slope.abs() < 1e-4, "{class} {pixel}: {slope}");
            }
        }
        assert_eq!(ridge.predict(&images), labels(&images));
    }

    #[test]
    fn the_nearest_mean_is_the_nearest() {
        let images = images();
        assert_eq!(Linear::nearest_mean(&images, 3).predict(&images), labels(&images));
    }
}
