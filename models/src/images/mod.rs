//! Pictures: the data ([`cifar`]), the noise of training ([`augment`]), the loop ([`train`]), what a network has to beat
//! ([`baselines`]), its ONNX file in float and in int8 ([`exported`]), what is said about all of them ([`report`]), and which network
//! goes with which recipe ([`zoo`]).

pub mod augment;
pub mod baselines;
pub mod cifar;
pub mod exported;
pub mod report;
pub mod train;
pub mod zoo;

/// Height and width of an image.
pub const SIDE: usize = 32;
/// Values of an image.
pub const VALUES: usize = SIDE * SIDE * 3;

/// A labelled picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Rows of pixels, red, green and blue of a pixel together, [`VALUES`] in all.
    pub pixels: Vec<u8>,
    /// Index of its class.
    pub label: usize,
}

impl Image {
    /// The pixels in 0..1.
    pub fn reals(&self) -> Vec<f32> {
        self.pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect()
    }
}

/// Classes of images.
pub fn labels(images: &[Image]) -> Vec<usize> {
    images.iter().map(|image| image.label).collect()
}

/// Mean of each colour, of pixels in 0..1, and the inverse of its deviation: what the network's first layer subtracts and
/// multiplies by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    /// Means.
    pub mean: [f32; 3],
    /// Inverse standard deviations.
    pub factor: [f32; 3],
}

impl Normalisation {
    /// That of the training images of [`cifar`], to three digits.
    pub const CIFAR10: Self =
        Self { mean: [0.491, 0.482, 0.447], factor: [1.0 / 0.247, 1.0 / 0.243, 1.0 / 0.262] };

    /// The value of a pixel of colour `colour` as the network sees it.
    pub fn apply(&self, pixel: u8, colour: usize) -> f32 {
        (f32::from(pixel) / 255.0 - self.mean[colour]) * self.factor[colour]
    }
}
