//! Events counted at places from tables.

use crate::events::Event;

/// Where the events of a sensor are counted: at the sum of an entry by column and one by row and polarity.
#[derive(Clone, Copy)]
pub struct Tables<'t> {
    /// An entry a column.
    pub columns: &'t [u32],
    /// Two entries a row.
    pub rows: &'t [u32],
}

impl Tables<'_> {
    /// The place of an event; beyond all places, or `None`, if it has none.
    #[inline(always)]
    pub(crate) fn get(&self, event: Event) -> Option<usize> {
        let column = *self.columns.get(usize::from(event.x()))?;
        let row = *self.rows.get(usize::from(event.signed_row()))?;
        Some(column.wrapping_add(row) as usize)
    }
}

/// Adds 1 to the count of each event, 255 at most; where it was 0, sets the mark that `size` counts share. Gives the number of events
/// without a place among the counts.
#[inline(never)]
pub fn count(events: &[Event], tables: Tables<'_>, counts: &mut [u8], marks: &mut [u16], size: usize) -> u32 {
    #[cfg(mixel_dsp)]
    if let Some(lost) = dsp(events, tables, counts, marks, size) {
        return lost;
    }
    portable(events, tables, counts, marks, size)
}

/// With the DSP extension, which checks column and row in one instruction; `None` if there is nothing to be had or marks are missing.
#[cfg(mixel_dsp)]
#[inline(always)]
#[allow(unsafe_code)]
fn dsp(
    events: &[Event],
    tables: Tables<'_>,
    counts: &mut [u8],
    marks: &mut [u16],
    size: usize,
) -> Option<u32> {
    let (right, bottom) = (tables.columns.len().checked_sub(1)?, tables.rows.len().checked_sub(1)?);
    if events.is_empty() || size == 0 || marks.len().checked_mul(size)? < counts.len() {
        return None;
    }
    let first = events.as_ptr().cast::<u32>().wrapping_add(1);
    let work = super::armv7em::Count {
        first,
        end: first.wrapping_add(2 * events.len()),
        // More than a half holds no event asks for.
        largest: right.min(0xFFFF) as u32 | (bottom.min(0xFFFF) as u32) << 16,
        columns: tables.columns.as_ptr(),
        rows: tables.rows.as_ptr(),
        counts: counts.as_mut_ptr(),
        len: counts.len(),
        size,
        marks: marks.as_mut_ptr(),
    };
    // SAFETY: all of them are there as long as told; an event is its time and its place.
    Some(unsafe { super::armv7em::count(&work) })
}

/// The same with what every machine has.
#[inline(always)]
fn portable(events: &[Event], tables: Tables<'_>, counts: &mut [u8], marks: &mut [u16], size: usize) -> u32 {
    let (size, mut lost) = (size.max(1), 0u32);
    let mut one = |event: &Event| {
        let at = tables.get(*event).unwrap_or(usize::MAX);
        let Some(count) = counts.get_mut(at) else {
            lost += 1;
            return;
        };
        if *count > 0 {
            *count = count.saturating_add(1);
        } else {
            *count = 1;
            if let Some(mark) = marks.get_mut(at / size) {
                *mark = 1;
            }
        }
    };
    // Four at a time, for what a turn of the loop costs on a microcontroller.
    let (fours, rest) = events.as_chunks::<4>();
    fours.iter().for_each(|four| four.iter().for_each(&mut one));
    rest.iter().for_each(one);
    lost
}
