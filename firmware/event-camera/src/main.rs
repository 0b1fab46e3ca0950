//! The event-camera application on an emulated board.
//!
//! QEMU's working directory has a plan with an event front end (`plan.mxl`) and a recording (`recording`) in any format that
//! the core reads. Answers, gaps and the report are log lines. The recording is read from its file as the program asks for
//! it, so that nothing is lost; with a file `pace`, a decimal number, an interrupt delivers [`CHUNK`] bytes every so many
//! counts of SysTick instead, as a sensor does, and what the program is too slow for is dropped and told.

#![no_std]
#![no_main]

mod line;

use core::ffi::CStr;

use cortex_m_rt::entry;
use mixel_camera::{
    Application, EventSource, Log, Reader, TooSmall, event_memory, event_memory_len, log_report,
};
use mixel_core::events::any::AnyDecoder;
use mixel_core::events::header;
use mixel_core::plan::FrontEnd;
use mixel_core::{All, EventSession, Plan, PlanError, Session, SessionError, profile};
use mixel_emulated::{Clock, Exit, FileError, InputFile, TICK_PICOSECONDS, bulk, exit, read};

/// Bytes that come at once: a whole number of words in every format of fixed words, so that a lost chunk is a number of words.
const CHUNK: usize = 1000;

/// What is read of a recording to know its format.
const HEAD: usize = 4096;

/// QEMU runs with `-icount shift=8`: 2^8 ns of virtual time an instruction.
const ICOUNT_SHIFT: u32 = 8;

/// A machine of QEMU under `-icount`.
struct Virtual(Clock);

impl profile::Clock for Virtual {
    #[inline(always)]
    fn now(&mut self) -> u32 {
        self.0.now()
    }
}

/// Why there is nothing to report.
#[derive(defmt::Format)]
enum Refused {
    File(&'static str, FileError),
    Plan(PlanError),
    Session(SessionError),
    Memory(TooSmall),
    /// No decoder reads the recording.
    Recording,
    /// `pace` is not a decimal number.
    Pace,
    /// Another program has the memory or the timer; cannot be.
    Taken,
}

#[entry]
fn main() -> ! {
    exit(match run() {
        Ok(()) => Exit::Done,
        Err(refused) => {
            defmt::error!("refused: {}", refused);
            Exit::Refused
        }
    })
}

fn run() -> Result<(), Refused> {
    let memory = bulk().ok_or(Refused::Taken)?;
    let (plan, memory) = load("plan.mxl", c"plan.mxl", memory)?;
    let plan = Plan::new_checked(plan).map_err(Refused::Plan)?;
    let FrontEnd::Events(front_end) = plan.front_end() else {
        return Err(Refused::Session(SessionError::NotEvents));
    };
    let config = front_end.histogram;
    let (arena, memory) = take(memory, plan.arena_bytes())?;
    let session = Session::<All>::new(plan, arena).map_err(Refused::Session)?;
    let (counts, memory) = take(memory, event_memory_len(&config))?;
    let counts = event_memory(&config, counts).map_err(Refused::Memory)?;
    let mut session = EventSession::new(session, counts).map_err(Refused::Session)?;

    let at = |error| Refused::File("recording", error);
    let mut file = InputFile::open(c"recording").map_err(at)?;
    let (head, memory) = take(memory, HEAD)?;
    let (found, len) = (file.read_up_to(head).map_err(at)?, file.len().map_err(at)?);
    let head = header::detect(head.get(..found).unwrap_or_default(), len).map_err(|_| Refused::Recording)?;
    let geometry = head.geometry.unwrap_or(config.geometry);
    let decoder = head.encoding.and_then(|encoding| AnyDecoder::new(encoding, geometry));
    let decoder = decoder.ok_or(Refused::Recording)?;
    defmt::info!("recording of {=u64} bytes: {}, sensor {}", len, head.encoding, geometry);

    let clock = Clock::start();
    match pace()? {
        None => {
            file.seek(head.len as u64).map_err(at)?;
            let (buffer, _) = take(memory, CHUNK)?;
            watch(decoder, &mut session, Reader::new(file, buffer), clock).map_err(at)
        }
        Some(pace) => {
            let (stream, memory) = load("recording", c"recording", memory)?;
            let stream = stream.get(head.len..).unwrap_or_default();
            let timer = cortex_m::Peripherals::take().ok_or(Refused::Taken)?.SYST;
            let source = line::start(timer, pace, stream, memory, clock).ok_or(Refused::Taken)?;
            let Ok(()) = watch(decoder, &mut session, source, clock);
            Ok(())
        }
    }
}

/// Runs the stream to its end and reports.
fn watch<S: EventSource>(
    decoder: AnyDecoder,
    session: &mut EventSession<'_, '_, '_, All>,
    mut source: S,
    clock: Clock,
) -> Result<(), S::Error> {
    let mut clock = Virtual(clock);
    let mut application = Application::new(decoder, &mut clock);
    application.run(session, &mut source, &mut Log)?;
    let instructions = |ticks| ticks * u64::from(TICK_PICOSECONDS) / (1000 << ICOUNT_SHIFT);
    log_report(&application.report(session), "instructions", instructions);
    Ok(())
}

/// The number in the file `pace`, if there is one.
fn pace() -> Result<Option<u32>, Refused> {
    let mut text = [0; 16];
    let len = match read(c"pace", &mut text) {
        Ok(len) => len,
        Err(FileError::Open) => return Ok(None),
        Err(error) => return Err(Refused::File("pace", error)),
    };
    let text = text.get(..len).and_then(|text| core::str::from_utf8(text).ok());
    text.and_then(|text| text.trim().parse().ok()).map(Some).ok_or(Refused::Pace)
}

/// `len` bytes off the front of `memory`, which begins at a multiple of 16, as the rest does.
fn take(memory: &'static mut [u8], len: usize) -> Result<(&'static mut [u8], &'static mut [u8]), Refused> {
    let too_small = Refused::Memory(TooSmall { needs: len });
    let (part, rest) = memory.split_at_mut_checked(len.next_multiple_of(16)).ok_or(too_small)?;
    Ok((part.get_mut(..len).unwrap_or_default(), rest))
}

/// The whole file at the front of `memory`, and the rest of it.
fn load(
    name: &'static str,
    path: &CStr,
    memory: &'static mut [u8],
) -> Result<(&'static [u8], &'static mut [u8]), Refused> {
    let len = read(path, memory).map_err(|error| Refused::File(name, error))?;
    let (file, rest) = take(memory, len)?;
    Ok((file, rest))
}
