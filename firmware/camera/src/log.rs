//! Answers, gaps and reports as defmt lines.

use mixel_core::event_session::{Answer, Stage};
use mixel_core::events::Gap;
use mixel_core::kernels::OpSet;

use crate::{Listen, Report};

/// Logs what it hears.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log;

impl<O: OpSet> Listen<O> for Log {
    fn answer(&mut self, answer: &Answer<'_, '_, '_, O>) {
        let (window, emitted) = (answer.window, answer.emitted);
        defmt::info!(
            "answer to {=u32} us: {=u32} events, {=u32} empty windows before, {=usize} tokens, {=usize} left out, {=u32} \
             events outside, output {=[u8]}",
            window.end,
            window.events,
            window.skipped,
            emitted.tokens,
            emitted.dropped_tokens,
            emitted.outside,
            answer.session.output(0)
        );
    }

    fn gap(&mut self, gap: &Gap) {
        defmt::warn!(
            "gap: {}, {=u32} bytes lost, from {=u32} to {=u32} us",
            gap.cause,
            gap.lost_bytes,
            gap.before,
            gap.after
        );
    }
}

/// Logs `report`; `count` makes `unit`s out of ticks.
pub fn log_report(report: &Report, unit: &str, count: impl Fn(u64) -> u64) {
    let Report { counts, seen, .. } = report;
    defmt::info!(
        "stream: {=u64} bytes in {=u32} chunks, {=u64} events in {=u64} us ({=u64} a second), {=u64} violations",
        counts.bytes,
        report.chunks,
        counts.events,
        report.sensor_us,
        report.event_rate(),
        counts.violations()
    );
    defmt::info!(
        "lost: {=u32} times, {=u64} bytes, {=u32} gaps told, {=u32} events before the time was known again",
        report.losses,
        report.lost_bytes,
        counts.gaps,
        counts.before_sync
    );
    defmt::info!(
        "windows: {=u32} run, {=u32} empty, {=u64} tokens, {=u64} left out, {=u64} events outside",
        seen.windows,
        seen.skipped,
        seen.tokens,
        seen.dropped_tokens,
        seen.outside
    );
    for (stage, sum) in Stage::ALL.iter().zip(&report.stages) {
        log_sum(*stage, sum.total, sum.worst, unit, &count);
    }
    defmt::info!("waiting: {=u64} {=str}", count(report.waiting.total), unit);
    // A recording waits for nobody.
    if report.worst_age > 0 {
        let age = count(report.worst_age.into());
        defmt::info!("a full buffer waited for its answers at most {=u64} {=str}", age, unit);
    }
}

fn log_sum(stage: Stage, total: u64, worst: u64, unit: &str, count: impl Fn(u64) -> u64) {
    defmt::info!("{}: {=u64} {=str}, at most {=u64} a window", stage, count(total), unit, count(worst));
}
