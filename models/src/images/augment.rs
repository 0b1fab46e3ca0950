//! Noise on training images, and images as the network takes them.

use rand::Rng;

use super::{Image, Normalisation, SIDE};

/// Pixels by which a training image moves at most.
const SHIFT: i32 = 4;

/// Where an image is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Pixels that the image has moved up and to the left; what comes in from outside is the mean colour.
    pub shift: (i32, i32),
    /// Whether left and right are exchanged.
    pub flipped: bool,
}

impl View {
    /// Any.
    pub fn random(rng: &mut impl Rng) -> Self {
        let mut shift = || rng.random_range(-SHIFT..=SHIFT);
        Self { shift: (shift(), shift()), flipped: rng.random() }
    }

    /// Appends the `patch` x `patch` patches of the image to `out`, `[patches][row][column][colour]`, normalised.
    pub fn patches(&self, image: &Image, patch: usize, normalisation: &Normalisation, out: &mut Vec<f32>) {
        let side = SIDE as i32;
        for row in (0..SIDE).step_by(patch) {
            for column in (0..SIDE).step_by(patch) {
                for y in row..row + patch {
                    for x in column..column + patch {
                        let x = if self.flipped { SIDE - 1 - x } else { x };
                        let (y, x) = (y as i32 + self.shift.0, x as i32 + self.shift.1);
                        if (0..side).contains(&y) && (0..side).contains(&x) {
                            let at = (y as usize * SIDE + x as usize) * 3;
                            out.extend(
                                (0..3).map(|colour| normalisation.apply(image.pixels[at + colour], colour)),
                            );
                        } else {
                            out.extend([0.0; 3]);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_move_and_mirror() {
        let identity = Normalisation { mean: [0.0; 3], factor: [255.0; 3] };
        let pixels = (0..SIDE * SIDE).flat_map(|at| [(at % SIDE) as u8, (at / SIDE) as u8, 7]).collect();
        let image = Image { pixels, label: 0 };
        let patches = |view: View| {
            let mut out = Vec::new();
            view.patches(&image, 4, &identity, &mut out);
            out
        };
        // The second patch starts at column 4; its pixel in row 1 and column 2 is the seventh.
        let at = 48 + 6 * 3;
        assert_eq!(
            patches(View::default())[at..][..3].iter().map(|v| v.round()).collect::<Vec<_>>(),
            [6.0, 1.0, 7.0]
        );
        let moved = patches(View { shift: (2, -3), flipped: true });
        assert_eq!(moved[at..][..3].iter().map(|v| v.round()).collect::<Vec<_>>(), [22.0, 3.0, 7.0]);
        // The last column looks at the first one of the image, and three more to the left.
        assert_eq!(moved[(7 * 48 + 3 * 3)..][..3], [0.0; 3]);
    }
}
