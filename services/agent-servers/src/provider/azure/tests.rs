use platform_config as config;

use super::super::testing::{Recorded, ask};
use super::super::{Provider, http_client};
use super::*;

const COMPLETED: &str = include_str!("../../../recordings/azure/completed.json");
const FILTERED: &str = include_str!("../../../recordings/azure/content_filter.json");
const LENGTH: &str = include_str!("../../../recordings/azure/length.json");
const RATE_LIMITED: &str = include_str!("../../../recordings/azure/rate_limited.json");

fn settings(base: Option<String>) -> config::AzureOpenAi {
    config::AzureOpenAi {
        api_key: Some(Secret::new("azure-key")),
        endpoint: base,
        deployment: Some("copilot".to_owned()),
        api_version: "2024-10-21".to_owned(),
    }
}

fn provider(base: &str) -> Provider {
    let settings = settings(Some(format!("{base}/")));
    Provider::azure(&http_client().unwrap(), &settings)
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn asks_the_deployment_and_reads_the_answer() {
    let (recorded, base) = Recorded::serve(&[(200, None, COMPLETED)]).await;
    let completion = ask(&provider(&base), "summarise_employee_request")
        .await
        .unwrap();
    assert_eq!(completion.model, "gpt-4.1-2025-04-14");
    assert_eq!(completion.output["category"], "access");

    let asked = recorded.asked().remove(0);
    assert_eq!(
        asked.path,
        "/openai/deployments/copilot/chat/completions?api-version=2024-10-21"
    );
    assert_eq!(asked.headers["api-key"], "azure-key");
    assert_eq!(asked.body["response_format"]["json_schema"]["strict"], true);
}

#[tokio::test]
async fn a_rate_limit_is_waited_out() {
    let (recorded, base) =
        Recorded::serve(&[(429, Some("1"), RATE_LIMITED), (200, None, COMPLETED)]).await;
    ask(&provider(&base), "x").await.unwrap();
    assert_eq!(recorded.asked().len(), 2);
}

#[tokio::test]
async fn filtered_and_cut_off_answers_are_errors() {
    let error = async |status, body| {
        let (_, base) = Recorded::serve(&[(status, None, body)]).await;
        ask(&provider(&base), "x").await.unwrap_err()
    };
    let filtered = error(400, FILTERED).await;
    assert!(filtered.to_string().contains("content management policy"));
    assert!(matches!(
        error(200, LENGTH).await,
        ProviderError::Incomplete(_)
    ));
    assert!(matches!(
        error(200, r#"{"model":"m","choices":[]}"#).await,
        ProviderError::Malformed(_)
    ));
}

#[test]
fn a_key_without_an_endpoint_is_a_setting_that_is_missing() {
    let error = Provider::azure(&http_client().unwrap(), &settings(None))
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "agent_servers.azure_openai.endpoint is needed when agent_servers.azure_openai.api_key is set"
    );
}
