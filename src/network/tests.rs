use proptest::prelude::*;

use super::*;

/// The example of containers-registries.conf(5), with what the manual says of mirrors and wildcards.
const REGISTRIES: &str = r#"
unqualified-search-registries = ["example.com"]
short-name-mode = "permissive"

[[registry]]
prefix = "example.com/foo"
insecure = false
blocked = false
location = "internal-registry-for-example.com/bar"

[[registry.mirror]]
location = "example-mirror-0.local/mirror-for-foo"

[[registry.mirror]]
location = "example-mirror-1.local/mirrors/foo"
insecure = true
pull-from-mirror = "digest-only"

[[registry]]
prefix = "*.wild.test"
[[registry.mirror]]
location = "mirror.test:5000/wild"
pull-from-mirror = "tag-only"

[[registry]]
location = "evil.test"
blocked = true
unheard = 1
"#;

/// The examples of containerd's docs/hosts.md in one.
const HOSTS: &str = r#"
server = "https://registry-1.docker.io"

[host."https://public-mirror.example.com"]
  capabilities = ["pull"]
[host."http://10.0.0.5:5000/base"]
  capabilities = ["pull", "resolve", "push"]
  skip_verify = true
  dial_timeout = "1m30s"
  [host."http://10.0.0.5:5000/base".header]
    x-custom-1 = "value1"
    x-custom-2 = ["value2", "value3"]
[host."https://art.test/api/docker/remote/v2"]
  override_path = true
  ca = ["a.pem", "b.pem"]
  client = [["c.cert", "c.key"], ["d.pem", ""]]
[host."https://only-push.test"]
  capabilities = ["push"]
"#;

#[expect(clippy::unnecessary_wraps, reason = "others fail")]
fn files(path: &str) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    Ok(format!("content of {path}").into_bytes())
}

fn registries(text: &str) -> Told {
    registries_conf(text, "registries.conf").expect("read")
}

fn refused(text: &str) -> String {
    registries_conf(text, "r.conf").expect_err("refused").to_string()
}

fn hosts(text: &str, registry: Option<&str>) -> Told {
    hosts_toml(text, "hosts.toml", registry, &files).expect("read")
}

#[test]
fn registries_of_the_manual_are_read() {
    let told = registries(REGISTRIES);
    let [foo, wild, evil] = told.routes.as_slice() else { panic!("three: {:#?}", told.routes) };
    let [first, second, third] = foo.mirrors.as_slice() else { panic!("three: {:#?}", foo.mirrors) };
    assert_eq!(first.address, "https://example-mirror-0.local/v2");
    assert_eq!(first.path_of("img"), "mirror-for-foo/img");
    // `insecure`: TLS that anybody may speak, then none.
    assert_eq!((second.address.as_str(), second.skip_verify), ("https://example-mirror-1.local/v2", true));
    assert_eq!((third.address.as_str(), third.is_fallback), ("http://example-mirror-1.local/v2", true));
    assert_eq!(third.serves, Serves { tags: false, digests: true });
    assert_eq!(foo.origins[0].address, "https://internal-registry-for-example.com/v2");
    assert_eq!(foo.origins[0].path_of("img/more"), "bar/img/more");
    assert!(wild.origins.is_empty());
    assert_eq!(wild.mirrors[0].serves, Serves { tags: true, digests: false });
    assert!(evil.blocked && evil.prefix == "evil.test");
    assert_eq!(
        told.notes,
        [
            "registries.conf: unqualified-search-registries, short-name-mode is passed over",
            "registries.conf: registry[3].unheard is not known and passed over"
        ]
    );
}

#[test]
fn the_longest_prefix_wins_and_covers_whole_segments() {
    let network = Network { routes: registries(REGISTRIES).routes, ..Network::default() };
    let found = |registry: &str, path: &str| {
        route_of(&network.routes, registry, path)
            .map(|routed| (routed.route.prefix.clone(), routed.rest.to_owned()))
    };
    let is = |prefix: &str, rest: &str| Some((prefix.to_owned(), rest.to_owned()));
    assert_eq!(found("example.com", "foo/img"), is("example.com/foo", "img"));
    assert_eq!(found("example.com", "foo"), is("example.com/foo", ""));
    assert_eq!(found("example.com", "foobar"), None);
    assert_eq!(found("example.com:5000", "foo/img"), None);
    assert_eq!(found("a.wild.test", "x/y"), is("*.wild.test", "x/y"));
    assert_eq!(found("a.b.wild.test:443", "x"), is("*.wild.test", "x"));
    assert_eq!(found("wild.test", "x"), None);
    assert_eq!(found("notwild.test", "x"), None);
    let longer = [
        Route { prefix: "a.test".into(), ..Route::default() },
        Route { prefix: "a.test/x".into(), ..Route::default() },
        Route::default(),
    ];
    assert_eq!(route_of(&longer, "a.test", "x/y").map(|routed| routed.route.prefix.as_str()), Some("a.test/x"));
    assert_eq!(route_of(&longer, "b.test", "x/y").map(|routed| routed.rest), Some("x/y"));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, words) in [
        (
            "[registries.search]\nregistries = ['a.test']",
            "r.conf has the form of the first version of registries.conf ([registries.search]): [[registry]] is read",
        ),
        ("a = \n", "r.conf, line 1:"),
        ("x = 1\n\n[[registry]\n", "r.conf, line 3:"),
        ("[[registry]]\nlocation = 5", "r.conf: registry[1].location should be a text, and is integer"),
        ("[[registry]]\ninsecure = true", "r.conf: registry[1].location is missing, and so is prefix"),
        (
            "[[registry]]\nprefix = 'a.test'",
            "r.conf: registry[1].location is missing: only a prefix that begins with *. may go without",
        ),
        (
            "[[registry]]\nlocation = 'https://a.test'",
            "r.conf: registry[1].location should be HOST[:PORT][/PATH], without https://",
        ),
        (
            "[[registry]]\nlocation = 'a.test/b:tag'",
            "r.conf: registry[1].location names a tag or a digest, which is not supported",
        ),
        (
            "[[registry]]\nlocation = 'a.test'\n[[registry.mirror]]\nlocation = 'b.test'\npull-from-mirror = 'never'",
            "r.conf: registry[1].mirror[1].pull-from-mirror should be all, digest-only or tag-only",
        ),
        ("[registry]\nlocation = 'a.test'", "r.conf: registry should be written [[registry]]"),
    ] {
        let error = refused(text);
        assert!(error.starts_with(words), "{text}\n{error}");
    }
}

#[test]
fn hosts_of_the_manual_are_read_in_their_order() {
    let told = hosts(HOSTS, Some("docker.io"));
    let route = &told.routes[0];
    let addresses: Vec<&str> = route.mirrors.iter().map(|mirror| mirror.address.as_str()).collect();
    assert_eq!(
        addresses,
        [
            "https://public-mirror.example.com/v2",
            "http://10.0.0.5:5000/base/v2",
            "https://art.test/api/docker/remote/v2"
        ]
    );
    let [public, base, art] = route.mirrors.as_slice() else { panic!("three") };
    assert_eq!(public.serves, Serves { tags: false, digests: true });
    assert!(public.says_namespace && base.skip_verify && base.serves == Serves::default());
    assert_eq!(base.dial_timeout_ms, Some(90_000));
    let headers: Vec<String> =
        base.headers.iter().map(|header| format!("{}={}", header.name, header.value)).collect();
    assert_eq!(headers, ["x-custom-1=value1", "x-custom-2=value2", "x-custom-2=value3"]);
    assert_eq!(art.authorities.as_deref(), Some("content of a.pem\ncontent of b.pem\n"));
    let identity = art.client.as_ref().expect("a pair");
    assert_eq!(identity.key, b"content of c.key");
    assert_eq!(route.origins[0].address, "https://registry-1.docker.io/v2");
    assert!(!route.origins[0].says_namespace);
    assert_eq!(
        told.notes,
        ["hosts.toml: of host.\"https://art.test/api/docker/remote/v2\".client only the first is shown"]
    );
    // Without a folder the server says whose file it is.
    assert_eq!(hosts(HOSTS, None).routes[0].prefix, "docker.io");
    let error = hosts_toml("[host.\"https://a.test\"]", "h", None, &files).expect_err("whose?");
    assert!(matches!(error, ConfigError::NoServer(_)));
}

#[test]
fn hosts_that_are_wrong_are_refused_with_their_place() {
    for (text, words) in [
        ("[host.\"ftp://a.test\"]", "h: host.\"ftp://a.test\". is no address"),
        (
            "[host.\"https://a.test\"]\nskip_verify = 'yes'",
            "h: host.\"https://a.test\".skip_verify should be true or false, and is string",
        ),
        (
            "[host.\"https://a.test\"]\ncapabilities = [1]",
            "h: host.\"https://a.test\".capabilities should be a text or a list of texts, and holds integer",
        ),
        ("[host.\"https://a.test\"]\nclient = [[1]]", "h: host.\"https://a.test\".client should be a file"),
        (
            "[host.\"https://a.test\"]\nheader = {a = \"x\\ny\"}",
            "h: host.\"https://a.test\".header.a holds what cannot be sent",
        ),
        (
            "[host.\"https://a.test\"]\ndial_timeout = 'soon'",
            "h: host.\"https://a.test\".dial_timeout should be a time",
        ),
        ("host = 1", "h: host should be written [host.\"URL\"]"),
    ] {
        let error = hosts_toml(text, "h", Some("r.test"), &files).expect_err(text).to_string();
        assert!(error.starts_with(words), "{text}\n{error}");
    }
}

#[test]
fn folders_of_certs_d_name_their_registry() {
    for (folder, host) in [
        ("docker.io", "docker.io"),
        ("r.test:5000", "r.test:5000"),
        ("r.test_5000_", "r.test:5000"),
        ("r_test_", "r_test_"),
        ("_default", ""),
    ] {
        assert_eq!(host_of_folder(folder), host);
    }
}

#[test]
fn the_form_is_known_by_its_content() {
    assert_eq!(shape_of(REGISTRIES, "f").expect("known"), Shape::Registries);
    assert_eq!(shape_of(HOSTS, "f").expect("known"), Shape::Hosts);
    assert!(matches!(shape_of("[registries.search]", "f"), Err(ConfigError::VersionOne(_))));
    assert!(matches!(shape_of("a = 1", "f"), Err(ConfigError::Shape(_))));
}

#[test]
fn keys_and_passwords_stay_on_this_machine() {
    let mut network = Network { routes: hosts(HOSTS, None).routes, ..Network::default() };
    let error = network.check_travel().expect_err("a key");
    assert!(matches!(&error, TravelError::Identity(address) if address.contains("art.test")), "{error}");
    let text = serde_json::to_string(&network).expect("JSON");
    assert!(!text.contains("c.key") && !text.contains("c.cert"));
    assert!(!format!("{network:?}").contains("value1") && !format!("{network:?}").contains("c.key"));
    network.routes[0].mirrors[2].client = None;
    assert_eq!(network.check_travel(), Ok(()));
    let back: Network =
        serde_json::from_str(&serde_json::to_string(&network).expect("JSON")).expect("the same");
    assert_eq!(back, network);
    network.routes[0].mirrors[0]
        .headers
        .push(Header { name: "Authorization".into(), value: "Basic eA==".into() });
    assert!(matches!(network.check_travel(), Err(TravelError::Header { .. })));
    network.routes.clear();
    network.authorities = Some("x".repeat(300 << 10));
    assert!(matches!(network.check_travel(), Err(TravelError::TooLarge(_))));
}

#[test]
fn what_is_asked_directly_is_checked() {
    assert_eq!(
        no_proxy("a.test, .b.test,10.0.0.0/8,[fd00::1],fd00::/8,*").as_deref(),
        Ok("a.test,.b.test,10.0.0.0/8,fd00::1,fd00::/8,*")
    );
    for wrong in ["a.test:5000", "10.0.0.0/33", "a b", " , ", "[::1]:5000"] {
        assert!(no_proxy(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn host_aliases_are_names_and_addresses() {
    let alias: HostAlias = "r.test=[fd00::1]".parse().expect("an alias");
    assert_eq!((alias.name.as_str(), alias.address.to_string().as_str()), ("r.test", "fd00::1"));
    for wrong in ["r.test", "=10.0.0.1", "r.test=10.0.0", "R.test=10.0.0.1", "-r=10.0.0.1", "r..t=10.0.0.1"] {
        assert!(wrong.parse::<HostAlias>().is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_harm(text in "(?s).{0,300}") {
        let _ = shape_of(&text, "f");
        let _ = registries_conf(&text, "f");
        let _ = hosts_toml(&text, "f", Some("a.test"), &files);
        let _ = no_proxy(&text);
        let _ = text.parse::<HostAlias>();
        let _ = host_of_folder(&text);
    }

    #[test]
    fn any_value_of_a_known_key_is_read_without_harm(
        key in "(location|prefix|insecure|mirror|pull-from-mirror|blocked)",
        host_key in "(ca|client|skip_verify|header|capabilities|override_path|dial_timeout)",
        value in "(1|true|'x'|\\[\\]|\\['x'\\]|\\[\\['x', 'y'\\]\\]|\\{a = 1\\}|\\[\\{a = 1\\}\\]|1979-05-27|'9999999999999999999h'|'\\*\\.')",
        address in "[a-z:/\\[\\]@%.*]{0,20}",
    ) {
        let _ = registries_conf(&format!("[[registry]]\n{key} = {value}"), "f");
        let _ = registries_conf(&format!("[[registry]]\nlocation = 'a'\n[[registry.mirror]]\n{key} = {value}"), "f");
        let _ = registries_conf(&format!("[[registry]]\nlocation = '{address}'"), "f");
        let _ = hosts_toml(&format!("[host.'https://{address}']\n{host_key} = {value}"), "f", None, &files);
        let _ = hosts_toml(&format!("server = '{address}'\n{host_key} = {value}"), "f", None, &files);
    }
}
