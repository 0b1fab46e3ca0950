//! Colour images as the networks take them: three planes of numbers in [0, 1].

use burn::tensor::{Device, Tensor, TensorData};
use mixel::image::Rgb8;

/// A colour image `[3][height][width]`, red first, in [0, 1].
#[derive(Clone, Debug, PartialEq)]
pub struct Planes {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Values, rows of a plane one behind the other.
    pub values: Vec<f32>,
}

impl From<&Rgb8> for Planes {
    fn from(image: &Rgb8) -> Self {
        let plane =
            |colour| image.pixels().iter().skip(colour).step_by(3).map(|&value| f32::from(value) / 255.0);
        Self { width: image.width(), height: image.height(), values: (0..3).flat_map(plane).collect() }
    }
}

impl Planes {
    /// In eight bits: rounded half up and clipped.
    ///
    /// # Panics
    /// If the image is empty, or there are not three values a pixel.
    pub fn to_rgb8(&self) -> Rgb8 {
        let plane = self.width * self.height;
        let level = |value: f32| (value * 255.0 + 0.5).clamp(0.0, 255.0) as u8;
        let pixels = (0..plane)
            .flat_map(|at| (0..3).map(move |colour| colour * plane + at))
            .map(|at| level(self.values[at]));
        Rgb8::new(self.width, self.height, pixels.collect()).expect("three values a pixel")
    }

    /// The `width` x `height` pixels from (`left`, `top`) on. What lies beyond an edge mirrors the image, the edge repeated.
    ///
    /// # Panics
    /// If the image is empty.
    pub fn window(&self, left: usize, top: usize, width: usize, height: usize) -> Self {
        let mirrored = |at: usize, length: usize| {
            let at = at % (2 * length);
            if at < length { at } else { 2 * length - 1 - at }
        };
        let columns: Vec<usize> = (left..left + width).map(|column| mirrored(column, self.width)).collect();
        let values = self
            .values
            .chunks_exact(self.width * self.height)
            .flat_map(|plane| (top..top + height).map(move |row| (plane, mirrored(row, self.height))))
            .flat_map(|(plane, row)| {
                let row = &plane[row * self.width..][..self.width];
                columns.iter().map(move |&column| row[column])
            })
            .collect();
        Self { width, height, values }
    }

    /// One of the eight ways to lay a square: bit 0 mirrors columns, bit 1 rows, bit 2 exchanges both.
    ///
    /// # Panics
    /// If it is to be exchanged and is not square.
    pub fn turned(&self, way: usize) -> Self {
        let (width, height) = (self.width, self.height);
        assert!(way & 4 == 0 || width == height, "a square");
        let place = |row: usize, column: usize| {
            let (row, column) = if way & 4 == 0 { (row, column) } else { (column, row) };
            let column = if way & 1 == 0 { column } else { width - 1 - column };
            let row = if way & 2 == 0 { row } else { height - 1 - row };
            row * width + column
        };
        let values = self
            .values
            .chunks_exact(width * height)
            .flat_map(|plane| (0..height * width).map(move |at| plane[place(at / width, at % width)]))
            .collect();
        Self { width, height, values }
    }

    /// Images of one size as `[N, 3, H, W]`.
    ///
    /// # Panics
    /// If there is none, or their sizes differ.
    pub fn batch(images: &[Self], device: &Device) -> Tensor<4> {
        let [Self { width, height, .. }, ..] = images else { panic!("a batch of at least one image") };
        let values: Vec<f32> = images.iter().flat_map(|image| image.values.iter().copied()).collect();
        Tensor::from_data(TensorData::new(values, [images.len(), 3, *height, *width]), device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(width: usize, height: usize) -> Planes {
        let values = (0..3 * width * height).map(|at| at as f32 / 255.0).collect();
        Planes { width, height, values }
    }

    #[test]
    fn eight_bits_and_planes_are_the_same_image() {
        let image = Rgb8::new(3, 2, (0..18).map(|at| at * 14).collect()).unwrap();
        assert_eq!(Planes::from(&image).to_rgb8(), image);
    }

    #[test]
    fn rounding_is_half_up_and_clipped() {
        let image = Planes { width: 1, height: 1, values: vec![-0.2, 1.2, 100.5 / 255.0] };
        assert_eq!(image.to_rgb8().pixels(), [0, 255, 101]);
    }

    #[test]
    fn a_window_beyond_the_edge_mirrors() {
        let window = ramp(3, 2).window(1, 1, 4, 2);
        let levels: Vec<f32> = window.values[..8].iter().map(|value| value * 255.0).collect();
        assert_eq!(levels, [4.0, 5.0, 5.0, 4.0, 4.0, 5.0, 5.0, 4.0]);
    }

    #[test]
    fn the_eight_ways_differ_and_keep_all_pixels() {
        let square = ramp(3, 3);
        let ways: Vec<Planes> = (0..8).map(|way| square.turned(way)).collect();
        for (index, way) in ways.iter().enumerate() {
            let mut sorted = way.values.clone();
            sorted.sort_by(f32::total_cmp);
            assert_eq!(sorted, square.values);
            assert!(ways[..index].iter().all(|other| other != way), "way {index}");
        }
    }
}
