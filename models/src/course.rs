//! What every training loop does: AdamW under a learning rate that warms up and falls along half a cosine, an average of the
//! weights, passes over the examples in a new order each.

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::weights::{self, Parameter, Weight, blend};

/// Steps of linear warm-up.
const WARM_UP: usize = 100;

/// How a network's weights move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Steps in all.
    pub steps: usize,
    /// Highest learning rate.
    pub peak: f64,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Decay of the average of weights, a step; it starts faster so that the start values are forgotten.
    pub average_decay: f32,
}

/// A network on its way down.
pub struct Course<M> {
    model: M,
    optimizer: ModuleOptimizer,
    schedule: Schedule,
    parameters: Vec<Parameter>,
    average: Vec<Weight>,
    done: usize,
}

impl<M: Module> Course<M> {
    /// Begins with `model`, which has the weights `start` of `parameters`.
    pub fn new(model: M, parameters: Vec<Parameter>, start: Vec<Weight>, schedule: Schedule) -> Self {
        let optimizer = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(schedule.weight_decay).init();
        Self { model, optimizer, schedule, parameters, average: start, done: 0 }
    }

    /// The network as it is.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The average of its weights.
    pub fn average(&self) -> &[Weight] {
        &self.average
    }

    /// The same, at the end.
    pub fn into_average(self) -> Vec<Weight> {
        self.average
    }

    /// Goes a step down the gradient of `loss`; gives the loss beside it.
    #[must_use]
    pub fn step(mut self, loss: Tensor<1>) -> (Self, f32) {
        let value = loss.clone().into_scalar::<f32>();
        let gradients = GradientsParams::from_grads(loss.backward(), &self.model);
        let rate = learning_rate(self.schedule.peak, self.done, self.schedule.steps);
        self.model = self.optimizer.step(rate, self.model, gradients);
        self.done += 1;
        let decay = self.schedule.average_decay.min(self.done as f32 / (self.done as f32 + 10.0));
        blend(&mut self.average, &weights::collect(&self.model, self.parameters.clone()), decay);
        (self, value)
    }
}

/// Passes over examples, in batches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passes {
    /// How many.
    pub epochs: usize,
    /// Examples in one.
    pub examples: usize,
    /// Examples a step.
    pub batch: usize,
}

impl Passes {
    /// Steps in all.
    pub fn steps(&self) -> usize {
        self.steps_an_epoch() * self.epochs
    }

    fn steps_an_epoch(&self) -> usize {
        self.examples.div_ceil(self.batch)
    }

    /// The averaged weights after all passes. `loss` is asked for each batch of examples, by their numbers; `report` is called after
    /// every epoch with its number, the mean loss and the averaged weights.
    pub fn run<M: Module>(
        &self,
        mut course: Course<M>,
        rng: &mut StdRng,
        mut loss: impl FnMut(&M, &[usize], &mut StdRng) -> Tensor<1>,
        mut report: impl FnMut(usize, f32, &[Weight]),
    ) -> Vec<Weight> {
        let mut order: Vec<usize> = (0..self.examples).collect();
        for epoch in 0..self.epochs {
            order.shuffle(rng);
            let mut total = 0.0;
            for batch in order.chunks(self.batch) {
                let value;
                let loss = loss(course.model(), batch, rng);
                (course, value) = course.step(loss);
                total += value;
            }
            report(epoch, total / self.steps_an_epoch() as f32, course.average());
        }
        course.into_average()
    }
}

/// Learning rate of a step: linear warm-up to `peak`, then half a cosine down to 0.
fn learning_rate(peak: f64, step: usize, steps: usize) -> f64 {
    let warm = ((step + 1) as f64 / WARM_UP as f64).min(1.0);
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos());
    peak * warm * cosine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_and_falls_to_nothing() {
        let rates: Vec<f64> = (0..1000).map(|step| learning_rate(2.0, step, 1000)).collect();
        assert!(rates[..WARM_UP].is_sorted() && rates[WARM_UP..].is_sorted_by(|a, b| a >= b));
        assert!(rates[0] < 0.03 && rates[999] < 1e-4);
        assert!(rates[WARM_UP] > 1.9 && rates.iter().all(|&rate| rate <= 2.0));
    }
}
