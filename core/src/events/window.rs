//! Windows: the event stream cut by sensor time, by count, or by whichever comes first.
//!
//! A time window is `(end - period, end]`. Ends lie on a grid, so that the cut does not depend on how the stream was chunked; a
//! device aligns the grid with sensor time, and a recording may align it with its last event ([`Windows::aligned_to`]), which is how the
//! published Event Transformers cut ("backwards from the end"). Windows without events are skipped and counted.

use super::Event;

/// Where windows end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Cut {
    /// After `period` microseconds of sensor time, on a grid.
    Time {
        /// Microseconds, 1 to 2^30.
        period: u32,
    },
    /// After `events` events.
    Count {
        /// At least 1.
        events: u32,
    },
    /// After `events` events or `period` microseconds from the first of them.
    Either {
        /// Microseconds, 1 to 2^30.
        period: u32,
        /// At least 1.
        events: u32,
    },
}

/// A finished window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Window {
    /// Its last microsecond (time windows), or the time of its last event.
    pub end: u32,
    /// Events in it.
    pub events: u32,
    /// Empty time windows skipped right before it.
    pub skipped: u32,
    /// False if the activity gate says that the scene is quiet: the window is to be cleared, not run.
    pub active: bool,
}

/// One step through a slice of events.
#[derive(Clone, Copy, Debug)]
pub enum Step<'e> {
    /// Events of the open window, all of one time bin.
    Events {
        /// Never empty.
        events: &'e [Event],
        /// Bin of the window, 0 is the oldest.
        bin: u8,
        /// Planned end of the window in microseconds; 0 for windows by count.
        end: u32,
    },
    /// The window is finished; nothing of the slice was taken.
    Close(Window),
}

/// Why windows cannot be cut this way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WindowError {
    /// A period of 0 or above 2^30 us.
    Period,
    /// 0 events.
    Count,
    /// 0 bins, or a period that is no multiple of the bins.
    Bins,
}

impl core::fmt::Display for WindowError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Period => "the period of a window must be 1 to 2^30 microseconds",
            Self::Count => "a window by count needs at least one event",
            Self::Bins => "a window needs at least one bin, and a period that is a multiple of the bins",
        })
    }
}

impl core::error::Error for WindowError {}

/// Cuts a stream into windows; see the module for the rules.
#[derive(Clone, Debug)]
pub struct Windows {
    period: Option<u32>,
    count: Option<u32>,
    on_grid: bool,
    bins: u8,
    quiet_below: u32,
    phase: u32,
    /// End of the open time window; on the grid also that of the last one.
    end: Option<u32>,
    /// Events in the open window.
    events: u32,
    last: u32,
    skipped: u32,
}

/// True if `a` is later than `b`, modulo 2^32.
fn later(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

impl Windows {
    /// Windows that end at `cut`, with `bins` time bins each (1 if the representation has none).
    pub fn new(cut: Cut, bins: u8) -> Result<Self, WindowError> {
        let (period, count, on_grid) = match cut {
            Cut::Time { period } => (Some(period), None, true),
            Cut::Count { events } => (None, Some(events), false),
            Cut::Either { period, events } => (Some(period), Some(events), false),
        };
        if period.is_some_and(|p| p == 0 || p > 1 << 30) {
            return Err(WindowError::Period);
        }
        if count == Some(0) {
            return Err(WindowError::Count);
        }
        if bins == 0 || period.is_some_and(|p| p % u32::from(bins) != 0) {
            return Err(WindowError::Bins);
        }
        Ok(Self {
            period,
            count,
            on_grid,
            bins,
            quiet_below: 0,
            phase: 0,
            end: None,
            events: 0,
            last: 0,
            skipped: 0,
        })
    }

    /// Puts a window's end at `t`: the time of a recording's last event gives the published windows. Before the first event.
    pub fn aligned_to(mut self, t: u32) -> Self {
        self.phase = t;
        self
    }

    /// The activity gate: windows with fewer than `events` events are not active.
    pub fn quiet_below(mut self, events: u32) -> Self {
        self.quiet_below = events;
        self
    }

    /// Takes the next part of `events`; `None` when there is nothing left. A closed window is reported before the first event
    /// behind it is taken.
    #[inline]
    pub fn next<'e>(&mut self, events: &mut &'e [Event]) -> Option<Step<'e>> {
        let first = events.first()?;
        if let Some(window) = self.advance(first.t) {
            return Some(Step::Close(window));
        }
        if self.count.is_some_and(|count| self.events >= count) {
            return Some(Step::Close(self.close()));
        }
        if self.end.is_none() {
            self.open(first.t);
        }
        let (bin, n) = match (self.end, self.period) {
            (Some(end), Some(period)) => self.bin(events, end, period),
            _ => self.bin_of_count(),
        };
        let n = match self.count {
            Some(count) => n.min((count - self.events) as usize),
            None => n,
        };
        let (taken, rest) = events.split_at_checked(n.clamp(1, events.len()))?;
        *events = rest;
        self.events = self.events.saturating_add(taken.len() as u32);
        self.last = taken.last().map_or(self.last, |e| e.t);
        Some(Step::Events { events: taken, bin, end: self.end.unwrap_or(0) })
    }

    /// Closes the open window if sensor time has passed its end; `now` may come from
    /// [`Decoder::now`](super::Decoder::now), so that windows end in a quiet scene too. To be called at least every half hour, like
    /// everything that compares 32-bit times.
    pub fn advance(&mut self, now: u32) -> Option<Window> {
        let end = self.end.filter(|&end| later(now, end))?;
        if self.events > 0 {
            return Some(self.close());
        }
        if self.on_grid {
            let period = self.period?;
            let periods = (now.wrapping_sub(end) - 1) / period + 1;
            self.skipped = self.skipped.saturating_add(periods);
            self.end = Some(end.wrapping_add(periods.wrapping_mul(period)));
        } else {
            self.end = None;
        }
        None
    }

    /// Closes the open window at the end of a recording; `None` if it is empty.
    pub fn finish(&mut self) -> Option<Window> {
        (self.events > 0).then(|| self.close())
    }

    /// Takes back the close of `window`: it goes on for `us` more microseconds, in its last bin. For representations that want a
    /// least number of active patches, right after the window was reported.
    pub fn extend(&mut self, window: Window, us: u32) {
        self.events = window.events;
        self.skipped = window.skipped;
        self.end = Some(window.end.wrapping_add(us));
    }

    fn close(&mut self) -> Window {
        let end = self.end.unwrap_or(self.last);
        let window = Window {
            end,
            events: self.events,
            skipped: self.skipped,
            active: self.events >= self.quiet_below.max(1),
        };
        self.events = 0;
        self.skipped = 0;
        // The next window of the grid; `advance` skips it if it stays empty.
        self.end = match self.period {
            Some(period) if self.on_grid => Some(end.wrapping_add(period)),
            _ => None,
        };
        window
    }

    fn open(&mut self, t: u32) {
        self.end = self.period.map(|period| {
            if !self.on_grid {
                return t.wrapping_add(period - 1);
            }
            let ahead = self.phase.wrapping_sub(t);
            if ahead < 1 << 31 {
                t.wrapping_add(ahead % period)
            } else {
                t.wrapping_add((period - t.wrapping_sub(self.phase) % period) % period)
            }
        });
    }

    /// Bin of time `t` in the window that ends at `end`, and its last microsecond.
    #[inline]
    fn bin_of_time(&self, t: u32, end: u32, period: u32) -> (u8, u32) {
        let width = period / u32::from(self.bins);
        // Bins counted from the end; an extended window has a long last bin.
        let from_end = (end.wrapping_sub(t) / width).min(u32::from(self.bins) - 1);
        (self.bins - 1 - from_end as u8, end.wrapping_sub(from_end * width))
    }

    /// Bin of the first event, and how many events from the first lie in it.
    fn bin(&self, events: &[Event], end: u32, period: u32) -> (u8, usize) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return (0, 0) };
        let (bin, until) = self.bin_of_time(first.t, end, period);
        let n =
            if later(last.t, until) { events.partition_point(|e| !later(e.t, until)) } else { events.len() };
        (bin, n)
    }

    /// Whether nothing but time ends windows.
    #[inline]
    pub(super) fn by_time(&self) -> bool {
        self.count.is_none() && self.period.is_some()
    }

    /// The bin of an event at `t` if it closes and opens no window, and the last microsecond of that bin. `None` for
    /// windows by count too.
    #[inline]
    pub(super) fn open_bin(&self, t: u32) -> Option<(u8, u32)> {
        let (end, period) = (self.end?, self.period?);
        (self.count.is_none() && !later(t, end)).then(|| self.bin_of_time(t, end, period))
    }

    /// As many events of the open window were counted by somebody else, the last of them at `last`.
    #[inline]
    pub(super) fn counted(&mut self, events: u32, last: u32) {
        self.events = self.events.saturating_add(events);
        self.last = last;
    }

    fn bin_of_count(&self) -> (u8, usize) {
        let count = u64::from(self.count.unwrap_or(u32::MAX));
        let (bins, done) = (u64::from(self.bins), u64::from(self.events));
        let bin = (done * bins / count).min(bins - 1);
        let until = ((bin + 1) * count).div_ceil(bins);
        (bin as u8, (until - done) as usize)
    }
}
