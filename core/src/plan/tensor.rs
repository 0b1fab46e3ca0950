//! Tensors as a plan describes them.

use super::error::Fault;
use super::format::{MAX_DIM, SCALE_SIZE, SHAPE_SIZE};

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum DType {
    /// Quantized, 8 bits, asymmetric.
    I8 = 0,
    /// Quantized, 16 bits.
    I16 = 1,
    /// Plain 32-bit integers.
    I32 = 2,
    /// Plain bytes.
    U8 = 3,
    /// Plain 16-bit indices (fingerprint bins).
    U16 = 4,
}

impl DType {
    /// The type with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::I8,
            1 => Self::I16,
            2 => Self::I32,
            3 => Self::U8,
            4 => Self::U16,
            _ => return None,
        })
    }

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 => 4,
        }
    }

    /// Smallest and largest value.
    pub const fn range(self) -> (i32, i32) {
        match self {
            Self::I8 => (i8::MIN as i32, i8::MAX as i32),
            Self::I16 => (i16::MIN as i32, i16::MAX as i32),
            Self::I32 => (i32::MIN, i32::MAX),
            Self::U8 => (0, u8::MAX as i32),
            Self::U16 => (0, u16::MAX as i32),
        }
    }
}

/// Where a tensor's elements lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Place {
    /// In the arena, at a byte offset, only while it is needed.
    Arena = 0,
    /// In the plan's data section; never written.
    Data = 1,
    /// In the arena's state region; kept from run to run until `reset`.
    State = 2,
}

/// How many rows are present, kept as what is missing to the plan's bound: a dimension that varies is shorter by these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    absent: usize,
}

impl Rows {
    /// As many as the bound.
    pub const ALL: Self = Self { absent: 0 };

    /// `present` rows where the plan's bound is `bound`.
    pub const fn new(present: usize, bound: usize) -> Self {
        Self { absent: bound.saturating_sub(present) }
    }

    /// Rows that are missing to the bound.
    pub const fn absent(self) -> usize {
        self.absent
    }

    /// Length of a dimension that varies and is `bound` long with all rows.
    #[inline]
    pub const fn of(self, bound: usize) -> usize {
        bound.saturating_sub(self.absent)
    }
}

/// One tensor: row-major, last dimension contiguous, channels last (N, H, W, C for images).
///
/// Shapes with fewer than four dimensions have leading ones. Memory and strides are those of the bound, also where a
/// dimension varies at run time; only the counts follow the rows present.
// Words first: an error in place of a tensor is told by the element type, and what is copied beside that should be whole words.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Tensor {
    /// Bounds of the four dimensions, each below [`super::format::MAX_DIM`].
    pub dims: [u32; 4],
    /// Byte offset in its region.
    pub offset: u32,
    /// Real value of one step; 1 for plain integers.
    pub scale: f32,
    /// The integer that stands for zero; within 16 bits.
    pub zero_point: i32,
    /// Bit i says that `dims[i]` varies with the number of rows present: it is `dims[i]` when there are as many as the
    /// plan's bound, and one less for every row less. What `dims[i]` has above the bound is there without any rows.
    pub dynamic: u8,
    /// Number of dimensions of the model's own shape (1 to 4); `dims` is filled with ones in front.
    pub rank: u8,
    /// Memory region.
    pub place: Place,
    /// Element type.
    pub dtype: DType,
}

impl Tensor {
    /// What a plan file has of it beside its offset: type and shape, and quantization; none for a dimension or zero point that
    /// there is no room for.
    pub(super) fn encode(&self) -> Option<([u8; SHAPE_SIZE], [u8; SCALE_SIZE])> {
        let (mut shape, mut scale) = ([0; SHAPE_SIZE], [0; SCALE_SIZE]);
        let (head, dims) = shape.split_first_chunk_mut()?;
        *head = [self.dtype as u8 | (self.place as u8) << 4, self.dynamic & 15 | self.rank << 4];
        for (field, dim) in dims.as_chunks_mut::<3>().0.iter_mut().zip(self.dims) {
            let [low, middle, high, 0] = dim.to_le_bytes() else { return None };
            *field = [low, middle, high];
        }
        let (zero_point, real) = scale.split_first_chunk_mut()?;
        *zero_point = i16::try_from(self.zero_point).ok()?.to_le_bytes();
        *real.first_chunk_mut()? = self.scale.to_le_bytes();
        Some((shape, scale))
    }

    /// Reads what [`Tensor::encode`] writes.
    pub(super) fn parse(
        shape: &[u8; SHAPE_SIZE],
        scale: &[u8; SCALE_SIZE],
        offset: u32,
    ) -> Result<Self, Fault> {
        let [kind, form, a0, a1, a2, b0, b1, b2, c0, c1, c2, d0, d1, d2] = *shape;
        // Words cut to three bytes, the last one from a byte earlier: three bytes beside a zero were stored one by one.
        let dims = [
            u32::from_le_bytes([a0, a1, a2, b0]) & (MAX_DIM - 1),
            u32::from_le_bytes([b0, b1, b2, c0]) & (MAX_DIM - 1),
            u32::from_le_bytes([c0, c1, c2, d0]) & (MAX_DIM - 1),
            u32::from_le_bytes([c2, d0, d1, d2]) >> 8,
        ];
        let [low, high, scale @ ..] = *scale;
        let (zero_point, scale) = (i16::from_le_bytes([low, high]) as i32, f32::from_le_bytes(scale));
        let dtype = DType::from_code(kind & 15).ok_or(Fault::Code)?;
        let place = match kind >> 4 {
            0 => Place::Arena,
            1 => Place::Data,
            2 => Place::State,
            _ => return Err(Fault::Code),
        };
        let (dynamic, rank) = (form & 15, form >> 4);
        Ok(Self { dtype, place, dynamic, rank, dims, offset, scale, zero_point })
    }

    /// Checks what makes sense of its numbers, which is done once: operators read their tensors again and again.
    pub(super) fn checked(self) -> Result<Self, Fault> {
        let (low, high) = self.dtype.range();
        if !(1..=4).contains(&self.rank) || !(low..=high).contains(&self.zero_point) {
            return Err(Fault::Code);
        }
        // 2^28 elements keep every index and byte offset in 32 bits.
        let elements = self
            .dims
            .iter()
            .try_fold(1u32, |all, &dim| all.checked_mul(dim).filter(|&all| dim > 0 && all <= 1 << 28));
        elements.ok_or(Fault::Dims)?;
        Ok(self)
    }

    /// Number of elements at the bound.
    pub fn elements(&self) -> usize {
        self.dims.iter().map(|&dim| dim as usize).product()
    }

    /// Bytes at the bound.
    pub fn bytes(&self) -> usize {
        self.elements() * self.dtype.size()
    }

    /// Elements of one index of dimension 1: a row of an image.
    pub fn row_elements(&self) -> usize {
        self.inner() * self.dims[2] as usize
    }

    /// Length of the last dimension.
    pub fn inner(&self) -> usize {
        self.dims[3] as usize
    }

    /// Product of all dimensions but the last, at the bound.
    pub fn outer(&self) -> usize {
        self.dims[..3].iter().map(|&dim| dim as usize).product()
    }

    /// The dimensions with `rows` rows present.
    pub fn dims_with(&self, rows: Rows) -> [usize; 4] {
        let mut dims = self.dims.map(|dim| dim as usize);
        for (axis, dim) in dims.iter_mut().enumerate() {
            if self.dynamic >> axis & 1 == 1 {
                *dim = rows.of(*dim);
            }
        }
        dims
    }

    /// The parts of the tensor that are present, as (first row, rows) with a row being one last dimension: one part
    /// for a static shape, one for each index in front of the first dynamic dimension otherwise.
    ///
    /// A last dimension that varies is passed whole; operators that care look at [`Tensor::dims_with`].
    pub fn row_spans(&self, rows: Rows) -> impl Iterator<Item = (usize, usize)> + use<> {
        let [images, height, width, _] = self.dims.map(|dim| dim as usize);
        let axis = (self.dynamic & 0b111).trailing_zeros();
        let (outer, dim, below) = match axis {
            0 => (1, images, height * width),
            1 => (images, height, width),
            2 => (images * height, width, 1),
            _ => (1, images * height * width, 1),
        };
        let (bound, present) = (dim * below, if axis < 3 { rows.of(dim) * below } else { dim });
        (0..outer).map(move |index| (index * bound, present))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(dims: [u32; 4], dynamic: u8) -> Tensor {
        Tensor {
            dtype: DType::I8,
            place: Place::Arena,
            dynamic,
            rank: 4,
            dims,
            offset: 0,
            scale: 1.0,
            zero_point: 0,
        }
    }

    #[test]
    fn spans_of_static_and_dynamic_shapes() {
        let all = |t: Tensor, rows| {
            let mut spans = heapless::Vec::<_, 8>::new();
            spans.extend(t.row_spans(Rows::new(rows, 8)));
            spans
        };
        assert_eq!(all(tensor([1, 2, 3, 4], 0), 9)[..], [(0, 6)]);
        assert_eq!(all(tensor([1, 1, 8, 4], 0b0100), 5)[..], [(0, 5)]);
        assert_eq!(all(tensor([1, 2, 8, 4], 0b0100), 5)[..], [(0, 5), (8, 5)]);
        assert_eq!(all(tensor([1, 8, 2, 4], 0b0010), 3)[..], [(0, 6)]);
        assert_eq!(all(tensor([1, 2, 8, 8], 0b1100), 0)[..], [(0, 0), (8, 0)]);
        // One row more than the bound: it is always there.
        assert_eq!(all(tensor([1, 2, 9, 4], 0b0100), 0)[..], [(0, 1), (9, 1)]);
        assert_eq!(tensor([1, 8, 9, 4], 0b0110).dims_with(Rows::new(3, 8)), [1, 3, 4, 4]);
    }
}
