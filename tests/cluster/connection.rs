//! The connection to the API server breaks in the middle of a scan: the log is cut, the watches end.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::environment::kubectl;
use crate::namespace::{Namespace, waiting_pod};
use crate::plugin::{Plugin, state};
use crate::registry::SlowRegistry;

/// Stands between the program and the API server, and cuts every connection when told to.
struct Cutter {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Cutter {
    fn start() -> Self {
        let path = "jsonpath={.clusters[0].cluster.server}";
        let server = kubectl(&["config", "view", "--minify", "-o", path]);
        let server = server.trim_start_matches("https://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let open = Arc::new(Mutex::new(Vec::new()));
        let opened = Arc::clone(&open);
        // It ends with the process of the tests.
        std::thread::spawn(move || {
            for client in listener.incoming().filter_map(Result::ok) {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let mut opened = opened.lock().expect("no panic");
                for stream in [&client, &server] {
                    opened.push(stream.try_clone().expect("a handle"));
                }
                join(&client, &server);
                join(&server, &client);
            }
        });
        Self { address, open }
    }

    /// Ends all connections that there are; new ones may be made.
    fn cut(&self) -> usize {
        let open = std::mem::take(&mut *self.open.lock().expect("no panic"));
        open.iter().filter(|stream| stream.shutdown(Shutdown::Both).is_ok()).count()
    }
}

/// Passes on what one side sends until it ends.
fn join(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
    std::thread::spawn(move || {
        // A connection that is cut ends this; nobody is told.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

#[test]
fn a_scan_whose_connections_are_cut_again_and_again_misses_nothing() {
    let cutter = Cutter::start();
    let registry = SlowRegistry::serve("payments");
    let namespace = Namespace::with_image("cut", "multi", "apps/multi");
    namespace.add(vec![waiting_pod("slow", &registry.image)]);
    let server = format!("https://{}", cutter.address);
    let running = Plugin::scan(&["-n", &namespace.name, "--server", &server]).start();
    registry.wait_until_read_by(1);
    let mut cut = 0;
    for _ in 0..5 {
        cut += cutter.cut();
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    registry.open();

    let ended = running.end().code(0);
    // A watch, an event stream and a log were open at least, each with two ends.
    assert!(cut >= 2, "{cut} connections were cut");
    for image in ended.report()["images"].as_array().expect("a list") {
        assert_eq!(state(image), ("scanned".to_owned(), String::new()), "{}", ended.stderr);
        assert_eq!(image["packages"], 20);
    }
    namespace.assert_nothing_left();
}
