//! Buffers between an interrupt and a program: nothing is lost in silence, whenever the interrupt comes.
//!
//! Both sides hold a critical section while a buffer changes hands, so an interrupt can come before, between or after those
//! moments and nowhere else: running it any number of times at each of them is every order that there can be. Two threads do
//! the same without a plan.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use mixel_camera::{Chunk, EventSource, Exchange};

type Buffer = Box<[u8]>;

/// Bytes of a buffer in most tests: its number.
const LEN: usize = 4;

fn buffers(count: usize, len: usize) -> impl Iterator<Item = Buffer> {
    (0..count).map(move |_| vec![0; len].into())
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().unwrap())
}

/// What must happen, in a few lines: a queue that is cut at the front.
#[derive(Default)]
struct Model {
    waiting: VecDeque<u32>,
    reading: bool,
    next: u32,
    taken: u32,
}

impl Model {
    fn interrupt(&mut self, buffers: usize) -> u32 {
        self.waiting.push_back(self.next);
        self.next += 1;
        // One is being filled, one may be read.
        if self.waiting.len() > buffers - 1 - usize::from(self.reading) {
            self.waiting.pop_front();
        }
        self.next - 1
    }

    /// Number of the buffer that is read next, and the bytes that are missing before it.
    fn take(&mut self) -> (u32, Option<u32>) {
        let number = self.waiting.pop_front().unwrap();
        let missing = number - self.taken;
        self.taken = number + 1;
        self.reading = true;
        (number, (missing > 0).then_some(missing * LEN as u32))
    }
}

/// Reads as many buffers as `schedule` has entries, each after that many interrupts.
fn follow<const N: usize>(schedule: &[u32]) {
    let exchange: Exchange<Buffer, N> = Exchange::new();
    let model = RefCell::new(Model::default());
    let producer = RefCell::new(None);
    let idle_calls = Cell::new(0);
    let interrupt = || {
        let number = model.borrow_mut().interrupt(N);
        let mut producer = producer.borrow_mut();
        let producer: &mut mixel_camera::Producer<'_, Buffer, N> = producer.as_mut().unwrap();
        producer.buffer().copy_from_slice(&number.to_le_bytes());
        producer.swap(LEN, 10 * number);
    };
    let idle = || {
        idle_calls.set(idle_calls.get() + 1);
        interrupt();
    };
    let mut all = buffers(N, LEN);
    let (first, others) = (all.next().unwrap(), all);
    let (made, mut consumer) = exchange.split(first, others, idle);
    *producer.borrow_mut() = Some(made);
    for &interrupts in schedule {
        (0..interrupts).for_each(|_| interrupt());
        model.borrow_mut().reading = false;
        let had = !model.borrow().waiting.is_empty();
        let chunk = consumer.next_chunk().unwrap().unwrap();
        let (expected, lost) = model.borrow_mut().take();
        assert_eq!(number(chunk.bytes), expected, "{schedule:?}");
        assert_eq!((chunk.lost, chunk.filled), (lost, Some(10 * expected)), "{schedule:?}");
        assert_eq!(idle_calls.replace(0), u32::from(!had), "{schedule:?}");
    }
    // At the end the rest is read, and a loss behind it is told.
    producer.borrow_mut().as_mut().unwrap().end();
    model.borrow_mut().reading = false;
    while let Some(chunk) = consumer.next_chunk().unwrap() {
        let mut model = model.borrow_mut();
        if chunk.bytes.is_empty() {
            let missing = model.next - model.taken;
            assert_eq!(chunk.lost, Some(missing * LEN as u32), "{schedule:?}");
            model.taken = model.next;
        } else {
            let (expected, lost) = model.take();
            assert_eq!((number(chunk.bytes), chunk.lost), (expected, lost), "{schedule:?}");
        }
    }
    let model = model.borrow();
    assert_eq!(model.taken, model.next, "every buffer was read or told as lost: {schedule:?}");
    assert_eq!(consumer.next_chunk().unwrap(), None);
}

#[test]
fn every_order_of_interrupts_is_accounted_for() {
    let mut schedule = [0; 6];
    for code in 0..5u32.pow(6) {
        for (place, interrupts) in schedule.iter_mut().enumerate() {
            *interrupts = code / 5u32.pow(place as u32) % 5;
        }
        follow::<2>(&schedule);
        follow::<3>(&schedule);
        follow::<4>(&schedule);
    }
}

#[test]
fn three_buffers_lose_nothing_while_one_waits_and_then_the_oldest() {
    let exchange: Exchange<Buffer, 3> = Exchange::new();
    let mut all = buffers(3, LEN);
    let (mut producer, mut consumer) =
        exchange.split(all.next().unwrap(), all, || panic!("there is always one"));
    let mut fill = |number: u32| {
        producer.buffer().copy_from_slice(&number.to_le_bytes());
        producer.swap(LEN, number);
    };
    fill(0);
    assert_eq!(number(consumer.next_chunk().unwrap().unwrap().bytes), 0);
    // While 0 is being read, one more waits, and a third takes its place.
    (1..=3).for_each(&mut fill);
    let chunk = consumer.next_chunk().unwrap().unwrap();
    assert_eq!((number(chunk.bytes), chunk.lost), (3, Some(8)));
}

#[test]
fn losses_of_the_hardware_are_told_even_without_a_number() {
    let exchange: Exchange<Buffer, 3> = Exchange::new();
    let mut all = buffers(3, LEN);
    let (mut producer, mut consumer) =
        exchange.split(all.next().unwrap(), all, || panic!("there is always one"));
    producer.swap(2, 5);
    producer.lose(0);
    producer.swap(3, 6);
    let lens = |chunk: Option<Chunk<'_>>| chunk.map(|chunk| (chunk.bytes.len(), chunk.lost, chunk.filled));
    assert_eq!(lens(consumer.next_chunk().unwrap()), Some((2, None, Some(5))));
    assert_eq!(lens(consumer.next_chunk().unwrap()), Some((3, Some(0), Some(6))));
    producer.lose(7);
    producer.end();
    assert_eq!(lens(consumer.next_chunk().unwrap()), Some((0, Some(7), None)));
    assert_eq!(lens(consumer.next_chunk().unwrap()), None);
}

#[test]
fn bytes_of_a_serial_port_are_gathered_and_flushed() {
    let exchange: Exchange<Buffer, 4> = Exchange::new();
    let mut all = buffers(4, 4);
    let (mut producer, mut consumer) =
        exchange.split(all.next().unwrap(), all, || panic!("there is always one"));
    producer.put(b"abc", 1);
    producer.put(b"defghi", 2);
    producer.flush(3);
    producer.flush(4);
    producer.end();
    for expected in [("abcd", 2), ("efgh", 2), ("i", 3)] {
        let chunk = consumer.next_chunk().unwrap().unwrap();
        assert_eq!((chunk.bytes, chunk.lost), (expected.0.as_bytes(), None));
        assert_eq!(chunk.filled, Some(expected.1));
    }
    assert_eq!(consumer.next_chunk().unwrap(), None);
}

#[test]
fn a_buffer_without_room_is_a_loss_and_no_endless_loop() {
    let exchange: Exchange<Buffer, 2> = Exchange::new();
    let mut all = buffers(2, 0);
    let (mut producer, mut consumer) = exchange.split(all.next().unwrap(), all, || ());
    producer.put(b"abc", 1);
    producer.end();
    assert_eq!(consumer.next_chunk().unwrap().unwrap().lost, Some(3));
}

#[test]
fn two_threads_never_tear_a_buffer_and_account_for_every_byte() {
    const BUFFERS: u32 = 60_000;
    const BYTES: usize = 64;
    let exchange: Exchange<Buffer, 3> = Exchange::new();
    let mut all = buffers(3, BYTES);
    let (mut producer, mut consumer) = exchange.split(all.next().unwrap(), all, std::thread::yield_now);
    let (mut expected, mut lost_bytes, mut read) = (0, 0, 0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..BUFFERS {
                for word in producer.buffer().as_chunks_mut::<4>().0 {
                    *word = number.to_le_bytes();
                }
                producer.swap(BYTES, number);
                // Sometimes the program gets a lead.
                if number % 1000 == 0 {
                    std::thread::sleep(Duration::from_micros(50));
                }
            }
            producer.end();
        });
        while let Some(chunk) = consumer.next_chunk().unwrap() {
            let lost = chunk.lost.unwrap_or(0);
            lost_bytes += u64::from(lost);
            expected += lost / BYTES as u32;
            if chunk.bytes.is_empty() {
                continue;
            }
            let words = chunk.bytes.as_chunks::<4>().0;
            assert!(
                words.iter().all(|word| u32::from_le_bytes(*word) == expected),
                "{words:?} is not {expected}"
            );
            expected += 1;
            read += 1;
        }
    });
    println!("{read} of {BUFFERS} buffers read, {lost_bytes} bytes told as lost");
    assert_eq!(expected, BUFFERS);
    assert_eq!(read * BYTES as u64 + lost_bytes, u64::from(BUFFERS) * BYTES as u64);
}
