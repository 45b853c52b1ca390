//! What is laid over findings, and what people say about them.

use jiff::civil::date;

use super::*;
use crate::finding::{EndOfLife, Epss, Exploited, Fix, FixState, Ignored, Share};

fn ignored(reason: &str) -> Ignored {
    let until = Some(date(2026, 12, 31));
    Ignored { reason: reason.to_owned(), until, source: "ignore.yaml".to_owned() }
}

fn one_image(findings: Vec<Finding>) -> Report {
    report(
        vec![container("shop/deployment/cart", "cart-1", "web", State::Scanned, Some(0))],
        vec![image("shop/cart:1", ("debian", "12"), State::Scanned, findings)],
    )
}

/// One exploited, one likely, two without a fix of which something is known, one ignored.
fn shop() -> Report {
    let epss = |number| {
        let probability = Share::of(number).expect("a share");
        Some(Epss { probability, percentile: probability, as_of: Some(date(2026, 1, 2)) })
    };
    let state = |state| Some(FixState { state, source: "Debian".to_owned() });
    let exploited = Exploited { added: date(2023, 11, 21), due: None, ransomware: true };
    let fixed = Some("2.36-9+deb12u3");
    let findings = vec![
        Finding {
            exploited: Some(exploited),
            epss: epss(0.79),
            ..finding(Severity::High, "CVE-2023-4911", "libc-bin", "glibc", fixed)
        },
        Finding {
            exploited: Some(exploited),
            epss: epss(0.79),
            ..finding(Severity::High, "CVE-2023-4911", "libc6", "glibc", fixed)
        },
        Finding {
            epss: epss(0.0123),
            fix_state: state(Fix::WontFix),
            ..finding(Severity::Critical, "CVE-2023-45853", "zlib1g", "zlib", None)
        },
        Finding {
            fix_state: state(Fix::Minor),
            ..finding(Severity::Low, "CVE-2022-0563", "bsdutils", "util-linux", None)
        },
        Finding {
            ignored: Some(ignored("only root can use it, and nobody is")),
            ..finding(Severity::Critical, "CVE-2024-0001", "perl-base", "perl", fixed)
        },
    ];
    one_image(findings)
}

#[test]
fn exploited_findings_are_marked_in_words_at_80_columns() {
    assert_snapshot!(render(&shop(), &narrow()), @r#"
    WORKLOAD         CRIT  HIGH  MED  LOW  NEGL  UNKN  FIX  EXPL  STATE
    deployment/cart     1     2    0    1     0     0    2     2  scanned

    registry.test/shop/cart:1 (debian 12, 88 packages, linux/amd64,
    sha256:1d42c025835a)
      used by deployment/cart (web)
    SEVERITY   VULNERABILITY    EPSS  PACKAGE    INSTALLED       FIXED IN
    high       CVE-2023-4911   79.0%  libc-bin,  2.36-9+deb12u1  2.36-9+deb12u3
    exploited                         libc6
    critical   CVE-2023-45853   1.2%  zlib1g     2.36-9+deb12u1  won't fix
    low        CVE-2022-0563       -  bsdutils   2.36-9+deb12u1  minor issue
    Known to be exploited: CVE-2023-4911 since 2023-11-21, also by ransomware

    Suppressed
      CVE-2024-0001 in perl-base: only root can use it, and nobody is (ignore.yaml,
      until 2026-12-31)
        registry.test/shop/cart:1

    Coverage
      1 container: 1 scanned, 0 cached, 0 approximate, 0 partial, 0 failed, 0
      skipped

    4 findings in 1 image of 1 workload: 1 critical, 2 high, 1 low; 2 fixable, 2
    known to be exploited
    1 finding suppressed, and not counted
    "#);
}

#[test]
fn row_stays_one_line_where_lines_are_not_broken() {
    let text = render(&shop(), &TableOptions::default());
    assert!(text.contains("\nhigh, exploited  CVE-2023-4911   79.0%  libc-bin, libc6  2.36"), "{text}");
}

#[test]
fn image_with_only_ignored_findings_is_not_called_clean() {
    let finding = Finding {
        ignored: Some(ignored("not reachable")),
        ..finding(Severity::High, "CVE-1", "libc6", "glibc", None)
    };
    assert_snapshot!(render(&one_image(vec![finding]), &narrow()), @r#"
    WORKLOAD         CRIT  HIGH  MED  LOW  NEGL  UNKN  FIX  STATE
    deployment/cart     0     0    0    0     0     0    0  scanned

    No findings but suppressed ones
      registry.test/shop/cart:1 (debian 12, 88 packages, linux/amd64,
      sha256:1d42c025835a)

    Suppressed
      CVE-1 in libc6: not reachable (ignore.yaml, until 2026-12-31)
        registry.test/shop/cart:1

    Coverage
      1 container: 1 scanned, 0 cached, 0 approximate, 0 partial, 0 failed, 0
      skipped

    0 findings in 1 image of 1 workload
    1 finding suppressed, and not counted
    "#);
}

#[test]
fn image_of_a_release_that_is_no_longer_tracked_is_not_called_clean() {
    let mut report = one_image(Vec::new());
    report.images[0].end_of_life = Some(EndOfLife {
        since: date(2024, 6, 30),
        paid_until: Some(date(2029, 6, 30)),
        as_of: date(2026, 1, 2),
    });
    assert!(report.is_complete(), "all that there is was read and matched");
    assert_snapshot!(render(&report, &narrow()), @r#"
    WORKLOAD         CRIT  HIGH  MED  LOW  NEGL  UNKN  FIX  STATE
    deployment/cart     -     -    -    -     -     -    -  end of life

    Coverage
      1 container: 1 scanned, 0 cached, 0 approximate, 0 partial, 0 failed, 0
      skipped

    No longer tracked: these releases get no more advisories, which does not mean
    that they are clean
      debian 12 since 2024-06-30; those who pay get fixes until 2029-06-30
        registry.test/shop/cart:1

    Not known: no image could be held against advisories
    1 image no longer tracked: not all that is wrong is known
    "#);
    report.images[0].findings = vec![finding(Severity::High, "CVE-1", "libc6", "glibc", None)];
    assert_snapshot!(render(&report, &narrow()), @r#"
    WORKLOAD         CRIT  HIGH  MED  LOW  NEGL  UNKN  FIX  STATE
    deployment/cart     0     1    0    0     0     0    0  scanned, end of life

    registry.test/shop/cart:1 (debian 12, no longer tracked since 2024-06-30, 88
    packages, linux/amd64, sha256:1d42c025835a)
      used by deployment/cart (web)
    SEVERITY  VULNERABILITY  PACKAGE  INSTALLED       FIXED IN
    high      CVE-1          libc6    2.36-9+deb12u1  -

    Coverage
      1 container: 1 scanned, 0 cached, 0 approximate, 0 partial, 0 failed, 0
      skipped

    No longer tracked: these releases get no more advisories, which does not mean
    that they are clean
      debian 12 since 2024-06-30; those who pay get fixes until 2029-06-30
        registry.test/shop/cart:1

    1 finding in 1 image of 1 workload: 1 high; 0 fixable
    1 image no longer tracked: not all that is wrong is known
    "#);
}
