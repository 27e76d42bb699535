//! Work on the columns of one output, shared among threads.

use std::marker::PhantomData;
use std::ops::Range;

use super::threads::Threads;

/// Some columns of a row-major matrix that nobody else writes to.
pub(super) struct Panel<'a> {
    /// Element 0 of the matrix.
    start: *mut f32,
    rows: usize,
    stride: usize,
    columns: Range<usize>,
    owner: PhantomData<&'a mut [f32]>,
}

impl Panel<'_> {
    /// Which columns these are.
    pub(super) fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// Rows of the matrix.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Elements from one row to the next.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// The columns of one row.
    ///
    /// # Panics
    /// When the matrix has no such row.
    pub(super) fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        #[expect(
            unsafe_code,
            reason = "a part of a matrix that other threads write other parts of is no slice"
        )]
        // SAFETY: `for_each_panel` made `start` from a slice of `rows * stride` elements that outlives the panel, the
        // columns lie within `0..stride`, and no other panel has any of them.
        unsafe {
            let first = self.start.add(row * self.stride + self.columns.start);
            std::slice::from_raw_parts_mut(first, self.columns.len())
        }
    }
}

/// A pointer that threads may share because they write to different elements.
struct Shared(*mut f32);

#[expect(unsafe_code, reason = "raw pointers are not `Sync` by themselves")]
// SAFETY: it is used by `for_each_panel` alone, which hands every element to one thread only.
unsafe impl Sync for Shared {}

impl Shared {
    fn get(&self) -> *mut f32 {
        self.0
    }
}

/// How many threads panels are shared among.
pub(super) fn thread_count() -> usize {
    Threads::global().count()
}

/// Cuts a row-major matrix into panels of `width` columns and calls `work` once for each, on all threads.
///
/// # Panics
/// When `output` is no whole number of rows of `columns` elements.
pub(super) fn for_each_panel(output: &mut [f32], columns: usize, width: usize, work: impl Fn(Panel<'_>) + Sync) {
    if output.is_empty() {
        return;
    }
    assert!(
        width > 0 && output.len().is_multiple_of(columns),
        "{} elements",
        output.len()
    );
    let rows = output.len() / columns;
    let start = Shared(output.as_mut_ptr());
    // Every number is visited once, so no two panels share a column.
    Threads::global().for_each(columns.div_ceil(width), |panel| {
        let first = panel * width;
        work(Panel {
            start: start.get(),
            rows,
            stride: columns,
            columns: first..columns.min(first + width),
            owner: PhantomData,
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_written_once() {
        for (rows, columns, width) in [(1, 1, 4), (3, 10, 4), (2, 64, 16), (5, 7, 100)] {
            let mut output = vec![0_f32; rows * columns];
            for_each_panel(&mut output, columns, width, |mut panel| {
                let first = panel.columns().start;
                for row in 0..panel.rows() {
                    for (offset, element) in panel.row(row).iter_mut().enumerate() {
                        *element += (row * columns + first + offset + 1) as f32;
                    }
                }
            });
            let expected: Vec<f32> = (1..=rows * columns).map(|number| number as f32).collect();
            assert_eq!(output, expected, "{rows} {columns} {width}");
        }
    }

    #[test]
    fn nothing_is_done_for_nothing() {
        for_each_panel(&mut [], 4, 4, |_| panic!("no panel expected"));
    }
}
