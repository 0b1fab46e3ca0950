//! Slices of a tensor by constant indices along one axis: `y[.., i, ..] = x[.., indices[i], ..]`.

use crate::plan::cursor::Cursor;
use crate::plan::write::{self, Constant};

/// The parameters as the plan stores them. Input and output have the same type, any of all types, and the same dimensions
/// but for the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatherParams {
    /// Dimension 0 to 3 (of the four); it does not vary at run time.
    pub axis: u8,
    /// u16, as many as the output has along the axis, each below the input's dimension.
    pub indices: Constant,
}

impl GatherParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        write::Params::new().u8(self.axis).constant(self.indices.offset, self.indices.count)
    }

    fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let params = Self { axis: cursor.u8(), indices: Constant::read(&mut cursor) };
        cursor.finished().then_some(params)
    }
}
