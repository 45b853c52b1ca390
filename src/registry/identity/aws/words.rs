//! What AWS says when it refuses: XML from STS, JSON from the others.

use serde::Deserialize;

#[derive(Deserialize)]
struct Xml {
    #[serde(rename = "Error")]
    error: Spoken,
}

#[derive(Deserialize)]
struct Spoken {
    #[serde(rename = "Code", alias = "code", alias = "__type")]
    code: String,
    #[serde(rename = "Message", alias = "message", default)]
    message: String,
}

/// `CODE: message`, if that is what was said.
pub(super) fn of(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let Spoken { code, message } = serde_json::from_str::<Spoken>(text)
        .ok()
        .or_else(|| quick_xml::de::from_str::<Xml>(text).ok().map(|xml| xml.error))?;
    // A code may come with the name of its namespace.
    let code = code.rsplit('#').next().unwrap_or_default();
    Some(if message.is_empty() { code.to_owned() } else { format!("{code}: {message}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_and_the_message_of_all_services_are_read() {
        for body in [
            r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not allowed</Message></Error><RequestId>1</RequestId></ErrorResponse>"#,
            r#"{"__type":"com.amazonaws.ecr#AccessDenied","message":"not allowed"}"#,
            r#"{"__type":"AccessDenied","Message":"not allowed"}"#,
            r#"{"code":"AccessDenied","message":"not allowed"}"#,
        ] {
            assert_eq!(of(body.as_bytes()).as_deref(), Some("AccessDenied: not allowed"), "{body}");
        }
        assert_eq!(of(b"<html>"), None);
        assert_eq!(of(b"\xff"), None);
    }
}
