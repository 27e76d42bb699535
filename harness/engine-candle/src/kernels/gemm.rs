//! Matrix products in single precision, by the crate `gemm` that candle multiplies with, on the calling thread.

use gemm::Parallelism;

use super::panels::Panel;

/// A matrix as elements at regular distances.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strided<'a> {
    elements: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Strided<'a> {
    /// Rows of `columns` elements, one after the other; elements beyond the last whole row are passed over.
    pub(super) fn rows(elements: &'a [f32], columns: usize) -> Self {
        Self {
            elements,
            rows: elements.len().checked_div(columns).unwrap_or(0),
            columns,
            row_stride: columns,
            column_stride: 1,
        }
    }

    /// Rows and columns exchanged.
    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// Writes `a · b` into a panel.
///
/// # Panics
/// When the sizes do not match.
pub(super) fn into_panel(a: Strided<'_>, b: Strided<'_>, output: &mut Panel<'_>) {
    let columns = output.columns().len();
    assert!(a.columns == b.rows && a.rows == output.rows() && b.columns == columns, "{a:?} {b:?}");
    if columns == 0 || a.rows == 0 {
        return;
    }
    let stride = output.stride();
    let first = output.row(0).as_mut_ptr();
    multiply(a, b, first, stride);
}

#[expect(unsafe_code, clippy::cast_possible_wrap, reason = "the crate takes pointers and signed strides")]
fn multiply(a: Strided<'_>, b: Strided<'_>, output: *mut f32, output_stride: usize) {
    // SAFETY: see the callers.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            output,
            1,
            output_stride as isize,
            false,
            a.elements.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.elements.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
