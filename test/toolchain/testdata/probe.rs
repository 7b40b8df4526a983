//! A program that tries what programs try: the first argument says what.
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, process, thread};

fn input() {
    let (mut sum, mut n) = (0u32, 0);
    for c in io::stdin().lock().bytes() {
        sum = sum.wrapping_mul(31).wrapping_add(c.unwrap() as u32);
        n += 1;
    }
    println!("{} bytes, sum {}, then {:?}", n, sum, io::stdin().read(&mut [0; 8]).unwrap());
}

fn files() {
    println!("open {}", fs::File::open("x").is_err());
    println!("create {}", fs::write("x", "").is_err());
    println!("list {}", fs::read_dir(".").is_err());
    println!("stat {}", fs::metadata("x").is_err());
    println!("mkdir {}", fs::create_dir("d").is_err());
    println!("remove {}", fs::remove_file("x").is_err());
    println!("rename {}", fs::rename("x", "y").is_err());
    println!("link {}", fs::hard_link("x", "y").is_err());
    println!("cwd {:?}", env::current_dir().is_ok());
    println!("socket {}", std::net::TcpStream::connect("127.0.0.1:80").is_err());
    println!("process {}", process::Command::new("x").spawn().is_err());
    println!("thread {}", thread::Builder::new().spawn(|| ()).is_err());
}

fn clocks() {
    let (a, b) = (Instant::now(), Instant::now());
    println!("{} {}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs(), b > a);
}

fn sleep() {
    let start = Instant::now();
    thread::sleep(Duration::from_millis(10));
    println!("slept {}", start.elapsed().as_millis());
    thread::yield_now();
}

fn random() {
    let m: HashMap<u32, u32> = (0..50).map(|i| (i, i)).collect();
    println!("{:?}", m.keys().take(5).collect::<Vec<_>>());
}

#[inline(never)]
fn deep(n: u64) -> u64 {
    if n == 0 { 0 } else { 1 + deep(n - 1) * if n & 1023 == 0 { 2 } else { 1 } }
}

fn main() {
    let args: Vec<String> = env::args().collect();
    match args.get(1).map_or("hello", |s| s.as_str()) {
        "hello" => println!("hello"),
        "input" => input(),
        "files" => files(),
        "clocks" => clocks(),
        "sleep" => sleep(),
        "random" => random(),
        "args" => println!("{} {} {} {}", args[0], args.len(), args[2], env::vars().count() == 0),
        "exit" => process::exit(7),
        "panic" => panic!("ouch"),
        "index" => println!("{}", args[1..][args.len()]),
        "recurse" => println!("{}", deep(1 << 24)),
        _ => unreachable!(),
    }
    io::stdout().flush().unwrap();
}
