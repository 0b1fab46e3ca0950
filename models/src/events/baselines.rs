//! What an event network has to beat, on the same recordings: classifiers on one image of the whole recording.

use super::Recording;
use super::front_end::FrontEnd;
use crate::train::argmax;

/// `ln(1 + count)` of each pixel and polarity over a whole recording.
pub fn image(front_end: &FrontEnd, recording: &Recording) -> Vec<f32> {
    let geometry = front_end.histogram.geometry;
    let width = usize::from(geometry.width);
    let mut counts = vec![0.0_f32; 2 * width * usize::from(geometry.height)];
    for event in &recording.events {
        let pixel = usize::from(event.y()) * width + usize::from(event.x());
        counts[2 * pixel + usize::from(event.on())] += 1.0;
    }
    counts.iter().map(|count| count.ln_1p()).collect()
}

/// Images and their classes.
pub struct Images {
    /// See [`image`].
    pub images: Vec<Vec<f32>>,
    /// Classes.
    pub labels: Vec<usize>,
}

impl Images {
    /// Of recordings.
    pub fn new(front_end: &FrontEnd, recordings: &[Recording]) -> Self {
        Self {
            images: recordings.iter().map(|recording| image(front_end, recording)).collect(),
            labels: recordings.iter().map(|recording| recording.label).collect(),
        }
    }

    /// Votes for each class; the class with the most wins, the first of equals.
    fn elect(classes: usize, voters: impl Iterator<Item = usize>) -> usize {
        let mut votes = vec![0.0; classes];
        voters.for_each(|class| votes[class] += 1.0);
        argmax(&votes)
    }

    /// The commonest class.
    pub fn majority(&self, classes: usize) -> usize {
        Self::elect(classes, self.labels.iter().copied())
    }

    /// The mean image of each class that has any.
    pub fn centroids(&self, classes: usize) -> Self {
        let present: Vec<usize> = (0..classes).filter(|class| self.labels.contains(class)).collect();
        let mean = |&class: &usize| {
            let of_class: Vec<&Vec<f32>> = self
                .images
                .iter()
                .zip(&self.labels)
                .filter(|(_, label)| **label == class)
                .map(|(i, _)| i)
                .collect();
            let pixels = of_class.first().map_or(0, |image| image.len());
            (0..pixels)
                .map(|pixel| of_class.iter().map(|image| image[pixel]).sum::<f32>() / of_class.len() as f32)
                .collect()
        };
        Self { images: present.iter().map(mean).collect(), labels: present }
    }

    /// The commonest class among the `k` images nearest to `image`; of equals, the one of the nearest image.
    pub fn nearest(&self, image: &[f32], k: usize, classes: usize) -> usize {
        let distance = |other: &[f32]| image.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
        let mut order: Vec<(f32, usize)> =
            self.images.iter().zip(&self.labels).map(|(other, &label)| (distance(other), label)).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        order.truncate(k);
        let mut votes = vec![0_usize; classes];
        order.iter().for_each(|&(_, label)| votes[label] += 1);
        let most = votes.iter().copied().max().unwrap_or(0);
        order.iter().find(|&&(_, label)| votes[label] == most).map_or(0, |&(_, label)| label)
    }
}

/// Ridge regression from images to one value a class, which is 1 for the right one.
pub struct Ridge {
    mean: Vec<f32>,
    /// `[class][pixel]`.
    weights: Vec<Vec<f32>>,
    /// Share of each class.
    bias: Vec<f32>,
}

impl Ridge {
    /// Fits with the penalty `lambda` on squared weights, through the images' products with each other.
    ///
    /// # Panics
    /// If there are no images or the penalty is not positive.
    pub fn fit(data: &Images, classes: usize, lambda: f64) -> Self {
        let (count, pixels) = (data.images.len(), data.images[0].len());
        let mean: Vec<f32> = (0..pixels)
            .map(|pixel| data.images.iter().map(|image| image[pixel]).sum::<f32>() / count as f32)
            .collect();
        let centred: Vec<Vec<f32>> = data
            .images
            .iter()
            .map(|image| image.iter().zip(&mean).map(|(value, mean)| value - mean).collect())
            .collect();
        let mut products = vec![vec![0.0_f64; count]; count];
        for row in 0..count {
            for column in 0..=row {
                let product = dot(&centred[row], &centred[column]);
                products[row][column] = product;
                products[column][row] = product;
            }
            products[row][row] += lambda;
        }
        let factor = cholesky(products);
        let mut bias = vec![0.0; classes];
        let weights = (0..classes)
            .map(|class| {
                let is = |label: &usize| f64::from(u8::from(*label == class));
                let share = data.labels.iter().map(is).sum::<f64>() / count as f64;
                bias[class] = share as f32;
                let target = data.labels.iter().map(|label| is(label) - share).collect();
                let dual = solve(&factor, target);
                let mut weights = vec![0.0; pixels];
                for (image, dual) in centred.iter().zip(dual) {
                    for (weight, value) in weights.iter_mut().zip(image) {
                        *weight += dual as f32 * value;
                    }
                }
                weights
            })
            .collect();
        Self { mean, weights, bias }
    }

    /// The class with the highest value.
    pub fn predict(&self, image: &[f32]) -> usize {
        let centred: Vec<f32> = image.iter().zip(&self.mean).map(|(value, mean)| value - mean).collect();
        let values = self.weights.iter().zip(&self.bias).map(|(w, bias)| dot(w, &centred) as f32 + bias);
        argmax(&values.collect::<Vec<f32>>())
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    // Several partial sums, so that the loop is not one long chain.
    let mut sums = [0.0_f32; 16];
    for (a, b) in a.chunks(16).zip(b.chunks(16)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().map(|&sum| f64::from(sum)).sum()
}

/// The lower triangle whose product with its transpose is `matrix`, symmetric and positive.
pub(crate) fn cholesky(mut matrix: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for row in 0..matrix.len() {
        let (above, rest) = matrix.split_at_mut(row);
        let line = &mut rest[0];
        for column in 0..row {
            let sum: f64 = line[..column].iter().zip(&above[column][..column]).map(|(a, b)| a * b).sum();
            line[column] = (line[column] - sum) / above[column][column];
        }
        let sum: f64 = line[..row].iter().map(|value| value * value).sum();
        assert!(line[row] > sum, "a positive matrix");
        line[row] = (line[row] - sum).sqrt();
    }
    matrix
}

/// Solves `factor factor^T x = right`.
pub(crate) fn solve(factor: &[Vec<f64>], mut right: Vec<f64>) -> Vec<f64> {
    for row in 0..right.len() {
        let sum: f64 = factor[row][..row].iter().zip(&right).map(|(a, b)| a * b).sum();
        right[row] = (right[row] - sum) / factor[row][row];
    }
    for row in (0..right.len()).rev() {
        right[row] /= factor[row][row];
        let value = right[row];
        for (column, left) in factor[row][..row].iter().enumerate() {
            right[column] -= left * value;
        }
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points() -> Images {
        let images = [[0.0, 0.1], [0.2, 0.0], [5.0, 5.0], [5.2, 4.8], [0.1, 5.0]];
        Images { images: images.map(Vec::from).to_vec(), labels: vec![0, 0, 2, 2, 1] }
    }

    #[test]
    fn neighbours_vote_and_ties_go_to_the_nearest() {
        let points = points();
        assert_eq!(points.nearest(&[4.9, 5.0], 1, 3), 2);
        assert_eq!(points.nearest(&[0.1, 3.0], 1, 3), 1);
        assert_eq!(points.nearest(&[0.1, 2.0], 3, 3), 0);
        assert_eq!(points.nearest(&[0.1, 3.0], 2, 3), 1);
        assert_eq!(points.majority(3), 0);
    }

    #[test]
    fn centroids_are_means() {
        let centroids = points().centroids(4);
        assert_eq!(centroids.labels, [0, 1, 2]);
        assert!((centroids.images[0][0] - 0.1).abs() < 1e-6 && (centroids.images[2][1] - 4.9).abs() < 1e-6);
    }

    #[test]
    fn ridge_is_the_solution_of_the_normal_equations() {
        let points = points();
        let lambda = 0.7;
        let ridge = Ridge::fit(&points, 3, lambda);
        // Gradient of the penalised squares at the solution.
        for class in 0..3 {
            for pixel in 0..2 {
                let mut slope = lambda * f64::from(ridge.weights[class][pixel]);
                for (image, &label) in points.images.iter().zip(&points.labels) {
                    let centred: Vec<f32> = image.iter().zip(&ridge.mean).map(|(v, m)| v - m).collect();
                    let value = dot(&ridge.weights[class], &centred) + f64::from(ridge.bias[class]);
                    slope += (value - f64::from(u8::from(label == class))) * f64::from(centred[pixel]);
                }
                assert!(slope.abs() < 1e-4, "{class} {pixel}: {slope}");
            }
        }
        assert_eq!([[0.0, 0.0], [0.0, 5.1], [5.1, 5.1]].map(|image| ridge.predict(&image)), [0, 1, 2]);
    }
}
