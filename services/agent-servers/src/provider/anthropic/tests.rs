use platform_config as config;

use super::super::testing::{Recorded, ask};
use super::super::{Provider, http_client};
use super::*;

const TOOL_USE: &str = include_str!("../../../recordings/anthropic/tool_use.json");
const TEXT_ONLY: &str = include_str!("../../../recordings/anthropic/text_only.json");
const CUT_OFF: &str = include_str!("../../../recordings/anthropic/max_tokens.json");
const OVERLOADED: &str = include_str!("../../../recordings/anthropic/overloaded.json");
const INVALID: &str = include_str!("../../../recordings/anthropic/invalid_request.json");

fn provider(base: &str) -> Provider {
    let settings = config::Anthropic {
        api_key: Some(Secret::new("sk-ant-test")),
        base_url: base.to_owned(),
        model: "claude-sonnet-4-5".to_owned(),
    };
    Provider::anthropic(&http_client().unwrap(), &settings).unwrap()
}

#[tokio::test]
async fn makes_the_model_use_the_tool_and_reads_its_input() {
    let (recorded, base) = Recorded::serve(&[(200, None, TOOL_USE)]).await;
    let completion = ask(&provider(&base), "assess_refund").await.unwrap();
    assert_eq!(completion.model, "claude-sonnet-4-5-20250929");
    assert_eq!(completion.output["decision"], "approve");

    let asked = recorded.asked().remove(0);
    assert_eq!(asked.path, "/v1/messages");
    assert_eq!(asked.headers["x-api-key"], "sk-ant-test");
    assert_eq!(asked.headers["anthropic-version"], VERSION);
    let choice = json!({"type": "tool", "name": "assess_refund"});
    assert_eq!(asked.body["tool_choice"], choice);
    assert_eq!(asked.body["messages"][0]["role"], "user");
}

#[tokio::test]
async fn an_overloaded_provider_is_asked_again_and_then_left() {
    let (recorded, base) = Recorded::serve(&[(529, None, OVERLOADED), (200, None, TOOL_USE)]).await;
    ask(&provider(&base), "assess_refund").await.unwrap();
    assert_eq!(recorded.asked().len(), 2);

    let (recorded, base) = Recorded::serve(&[(529, None, OVERLOADED); 8]).await;
    let provider = provider(&base);
    let error = ask(&provider, "assess_refund").await.unwrap_err();
    assert!(matches!(error, ProviderError::Status { status: 529, .. }));
    // The fifth failure in a row opens the circuit.
    let error = ask(&provider, "assess_refund").await.unwrap_err();
    assert!(matches!(error, ProviderError::CircuitOpen), "{error:?}");
    assert_eq!(recorded.asked().len(), 5);
}

#[tokio::test]
async fn answers_without_the_tool_are_refused() {
    let error = async |status, body| {
        let (_, base) = Recorded::serve(&[(status, None, body)]).await;
        ask(&provider(&base), "assess_refund").await.unwrap_err()
    };
    assert!(matches!(
        error(200, TEXT_ONLY).await,
        ProviderError::Malformed(_)
    ));
    assert!(matches!(
        error(200, CUT_OFF).await,
        ProviderError::Incomplete(_)
    ));
    assert!(matches!(
        error(200, "[]").await,
        ProviderError::Malformed(_)
    ));
    let refused = error(400, INVALID).await;
    assert!(refused.to_string().contains("max_tokens: Field required"));
}
