use platform_config as config;

use super::super::testing::{Recorded, ask};
use super::super::{Provider, http_client};
use super::*;

const COMPLETED: &str = include_str!("../../../recordings/openai/completed.json");
const REFUSAL: &str = include_str!("../../../recordings/openai/refusal.json");
const INCOMPLETE: &str = include_str!("../../../recordings/openai/incomplete.json");
const RATE_LIMITED: &str = include_str!("../../../recordings/openai/rate_limited.json");
const QUOTA: &str = include_str!("../../../recordings/openai/quota.json");
const UNAUTHORISED: &str = include_str!("../../../recordings/openai/unauthorised.json");

fn provider(base: &str) -> Provider {
    let settings = config::OpenAi {
        api_key: Some(Secret::new("sk-test")),
        base_url: format!("{base}/v1"),
        model: "gpt-4.1-mini".to_owned(),
    };
    Provider::openai(&http_client().unwrap(), &settings).unwrap()
}

#[tokio::test]
async fn asks_with_a_schema_and_reads_the_answer() {
    let (recorded, base) = Recorded::serve(&[(200, None, COMPLETED)]).await;
    let completion = ask(&provider(&base), "handle_ticket").await.unwrap();
    assert_eq!(completion.model, "gpt-4.1-mini-2025-04-14");
    assert_eq!(completion.output["priority"], "high");

    let asked = recorded.asked().remove(0);
    assert_eq!(asked.path, "/v1/responses");
    assert_eq!(asked.headers["authorization"], "Bearer sk-test");
    assert_eq!(asked.body["model"], "gpt-4.1-mini");
    assert_eq!(asked.body["store"], false);
    assert_eq!(asked.body["text"]["format"]["name"], "handle_ticket");
    assert_eq!(asked.body["text"]["format"]["strict"], true);
    let user = asked.body["input"][1]["content"].as_str().unwrap();
    assert!(user.starts_with("<<<data ") && user.contains("order 4711"));
}

#[tokio::test]
async fn a_busy_provider_is_asked_again() {
    let answers = [
        (429, Some("1"), RATE_LIMITED),
        (503, None, "<html>upstream</html>"),
        (200, None, COMPLETED),
    ];
    let (recorded, base) = Recorded::serve(&answers).await;
    ask(&provider(&base), "handle_ticket").await.unwrap();
    assert_eq!(recorded.asked().len(), 3);
}

#[tokio::test]
async fn what_waiting_does_not_mend_is_asked_once() {
    for (status, body, message) in [
        (401, UNAUTHORISED, "Incorrect API key"),
        (429, QUOTA, "exceeded your current quota"),
    ] {
        let (recorded, base) = Recorded::serve(&[(status, None, body)]).await;
        let error = ask(&provider(&base), "handle_ticket").await.unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert!(!error.to_string().contains("sk-test"));
        assert_eq!(recorded.asked().len(), 1);
    }
}

#[tokio::test]
async fn refusals_and_broken_answers_are_told_apart() {
    let error = async |body| {
        let (_, base) = Recorded::serve(&[(200, None, body)]).await;
        ask(&provider(&base), "handle_ticket").await.unwrap_err()
    };
    assert!(matches!(error(REFUSAL).await, ProviderError::Refused(_)));
    assert!(matches!(
        error(INCOMPLETE).await,
        ProviderError::Incomplete(_)
    ));
    for body in [
        "{",
        "{}",
        r#"{"status":"failed","model":"m","error":{"message":"x"}}"#,
    ] {
        assert!(
            matches!(error(body).await, ProviderError::Malformed(_)),
            "{body}"
        );
    }
}
