//! Events counted at places from tables.

use crate::events::Event;

/// Entry of a column or row whose events are not counted: every sum with it is negative.
pub const OUTSIDE: u32 = 0xC000_0000;

/// Where the events of a sensor are counted: at the sum of an entry by column and one by row and polarity.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'t> {
    columns: &'t [u32],
    /// Two entries a row: darker, brighter.
    rows: &'t [u32],
    /// More than every sum that is not negative.
    #[cfg(mixel_dsp)]
    reach: u32,
    /// No entry is [`OUTSIDE`].
    #[cfg(mixel_dsp)]
    inside: bool,
}

impl<'t> Tables<'t> {
    /// Looks at all entries once, so that loops need not compare sums.
    pub fn new(columns: &'t [u32], rows: &'t [u32]) -> Self {
        #[cfg(mixel_dsp)]
        let most = |table: &[u32]| table.iter().copied().filter(|&entry| entry != OUTSIDE).max().unwrap_or(0);
        #[cfg(mixel_dsp)]
        let (column, row) = (most(columns), most(rows));
        Self {
            columns,
            rows,
            // An entry that could make a sum negative or bring a negative one back would be none of a grid.
            #[cfg(mixel_dsp)]
            reach: if column.max(row) >> 30 == 0 { column + row + 1 } else { u32::MAX },
            #[cfg(mixel_dsp)]
            inside: !columns.iter().chain(rows).any(|&entry| entry == OUTSIDE),
        }
    }

    /// Whether all pixels have a place.
    #[cfg(mixel_dsp)]
    pub(super) fn inside(&self) -> bool {
        self.inside
    }

    /// The place of an event; beyond all places, or `None`, if it has none.
    #[inline(always)]
    pub(crate) fn get(&self, event: Event) -> Option<usize> {
        let column = *self.columns.get(usize::from(event.x()))?;
        let row = *self.rows.get(usize::from(event.signed_row()))?;
        Some(column.wrapping_add(row) as usize)
    }

    /// Whether there are entries for all pixels of a sensor.
    #[inline(always)]
    pub(super) fn cover(&self, width: u32, height: u32) -> bool {
        self.columns.len() >= width as usize && self.rows.len() / 2 >= height as usize
    }

    #[cfg(mixel_dsp)]
    pub(super) fn as_ptrs(&self) -> (*const u32, *const u32) {
        (self.columns.as_ptr(), self.rows.as_ptr())
    }
}

/// Counts, and all that is needed to find those of events among them.
pub struct Places<'t> {
    /// Where events are counted.
    pub tables: &'t Tables<'t>,
    /// The counts of one time bin: 255 at most.
    pub counts: &'t mut [u8],
    /// One for every `size` counts: 1 where one of them is not 0.
    pub marks: &'t mut [u16],
    /// Counts that share a mark, not 0.
    pub size: usize,
}

impl Places<'_> {
    /// Counts one event; false if it has no place.
    #[inline(always)]
    pub(crate) fn add(&mut self, event: Event) -> bool {
        let at = self.tables.get(event).unwrap_or(usize::MAX);
        let Some(count) = self.counts.get_mut(at) else { return false };
        if *count > 0 {
            *count = count.saturating_add(1);
        } else {
            *count = 1;
            if let Some(mark) = self.marks.get_mut(at / self.size.max(1)) {
                *mark = 1;
            }
        }
        true
    }

    /// Whether there is a count for every sum that is not negative, and a mark for every such count.
    #[cfg(mixel_dsp)]
    #[inline(always)]
    pub(super) fn hold(&self) -> bool {
        let (reach, marked) = (self.tables.reach as usize, self.marks.len().checked_mul(self.size));
        self.size > 0 && reach <= self.counts.len() && marked.is_some_and(|marked| reach <= marked)
    }
}

/// Adds 1 to the count of each event, 255 at most; where it was 0, sets its mark. Gives the number of events without a
/// place among the counts.
#[inline(never)]
pub fn count(events: &[Event], places: &mut Places<'_>) -> u32 {
    #[cfg(mixel_dsp)]
    if let Some(lost) = dsp(events, places) {
        return lost;
    }
    portable(events, places)
}

/// With the DSP extension, which checks column and row in one instruction; `None` if there is nothing to be had or
/// counts or marks are missing.
#[cfg(mixel_dsp)]
#[inline(always)]
#[allow(unsafe_code)]
fn dsp(events: &[Event], places: &mut Places<'_>) -> Option<u32> {
    let tables = places.tables;
    let (right, bottom) = (tables.columns.len().checked_sub(1)?, tables.rows.len().checked_sub(1)?);
    if events.is_empty() || !places.hold() {
        return None;
    }
    let (first, (columns, rows)) = (events.as_ptr().cast::<u32>().wrapping_add(1), tables.as_ptrs());
    let work = super::armv7em::Count {
        first,
        end: first.wrapping_add(2 * events.len()),
        // More than a half holds no event asks for.
        largest: right.min(0xFFFF) as u32 | (bottom.min(0xFFFF) as u32) << 16,
        columns,
        rows,
        counts: places.counts.as_mut_ptr(),
        size: places.size,
        marks: places.marks.as_mut_ptr(),
    };
    // SAFETY: all of them are there, and counts and marks for all sums, as seen above; an event is its time and its
    // place.
    Some(unsafe { super::armv7em::count(&work) })
}

/// The same with what every machine has.
#[inline(always)]
fn portable(events: &[Event], places: &mut Places<'_>) -> u32 {
    let mut lost = 0u32;
    let mut one = |&event: &Event| lost += u32::from(!places.add(event));
    // Four at a time, for what a turn of the loop costs on a microcontroller.
    let (fours, rest) = events.as_chunks::<4>();
    fours.iter().for_each(|four| four.iter().for_each(&mut one));
    rest.iter().for_each(one);
    lost
}
