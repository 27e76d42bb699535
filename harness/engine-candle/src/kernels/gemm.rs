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

/// Writes `a · b` into as many rows of a panel as `a` has, from `first_row` on.
///
/// # Panics
/// When the sizes do not match.
pub(super) fn into_panel(a: Strided<'_>, b: Strided<'_>, output: &mut Panel<'_>, first_row: usize) {
    assert!(
        b.columns == output.columns().len() && first_row + a.rows <= output.rows(),
        "{} x {} elements do not fit the output",
        a.rows,
        b.columns
    );
    if a.rows > 0 {
        let stride = output.stride();
        let first = output.row(first_row).as_mut_ptr();
        multiply(a, b, first, stride);
    }
}

/// Writes `a · b` into `output`, row after row.
///
/// # Panics
/// When the sizes do not match.
pub(super) fn into_slice(a: Strided<'_>, b: Strided<'_>, output: &mut [f32]) {
    assert_eq!(output.len(), a.rows * b.columns, "elements of the output");
    multiply(a, b, output.as_mut_ptr(), b.columns);
}

/// The caller has checked that the output has `a.rows` rows of `b.columns` elements, `output_stride` apart, and that it
/// alone writes to them.
#[expect(
    unsafe_code,
    clippy::cast_possible_wrap,
    reason = "the crate takes pointers and signed strides"
)]
fn multiply(a: Strided<'_>, b: Strided<'_>, output: *mut f32, output_stride: usize) {
    assert_eq!(a.columns, b.rows, "columns of one, rows of the other");
    // SAFETY: `Strided` is made of whole rows of a slice, so all its elements are in it; the output is the caller's word.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_right_also_transposed() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 2.0, -1.0, 1.0, 1.0]);
        let mut output = [9.0; 4];
        into_slice(Strided::rows(&a, 3), Strided::rows(&b, 3).transposed(), &mut output);
        assert_eq!(output, [7.0, 4.0, 16.0, 7.0]);
        into_slice(Strided::rows(&a, 3), Strided::rows(&b, 2), &mut output);
        assert_eq!(output, [8.0, 1.0, 20.0, 1.0]);
    }
}
