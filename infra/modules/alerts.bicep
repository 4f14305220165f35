// What somebody should know of. Each rule has its place in docs/deploy.md.

@description('What makes names unique.')
param token string

@description('Region.')
param location string

@description('Tags of everything.')
param tags object

@description('Application Insights.')
param insightsId string

@description('The Service Bus namespace.')
param namespaceId string

@description('Queue that messages are taken from.')
param eventsQueue string

@description('Topic that messages are taken from.')
param eventsTopic string

@description('Who is told.')
param actionGroupIds array

// `action` is the field that every log line of Signalbox has beside its sentence.
var rules = [
  {
    name: 'dead-letters'
    description: 'An event, message or run became a dead letter: no job can be made of it. `signalbox dead-letters` says why.'
    severity: 2
    window: 'PT15M'
    frequency: 'PT5M'
    operator: 'GreaterThan'
    threshold: 0
    query: 'traces | extend action = tostring(customDimensions.action) | where action in ("event_refused", "message_refused") or (action == "run_finished" and tostring(customDimensions.state) == "dead_letter")'
  }
  {
    name: 'submissions-fail'
    description: 'AzureML does not take jobs: runs wait, and are tried again. `signalbox health` says what it answers.'
    severity: 1
    window: 'PT15M'
    frequency: 'PT5M'
    operator: 'GreaterThan'
    threshold: 10
    query: 'traces | where tostring(customDimensions.action) == "waiting"'
  }
  {
    name: 'outcomes-delayed'
    description: 'The topic for outcomes does not take them: whoever listens does not hear of runs. They are told again each minute. `signalbox health` says why.'
    severity: 2
    window: 'PT15M'
    frequency: 'PT5M'
    operator: 'GreaterThan'
    // A line for each run and look: a moment's trouble is less, one run that stays untold is more.
    threshold: 10
    query: 'traces | where tostring(customDimensions.action) == "outcome_delayed"'
  }
  {
    name: 'daily-cap'
    description: 'A trigger has begun as many runs today as policies.max_runs_per_day allows; further ones wait until tomorrow (UTC).'
    severity: 2
    window: 'PT1H'
    frequency: 'PT15M'
    operator: 'GreaterThan'
    threshold: 0
    query: 'traces | where tostring(customDimensions.action) == "daily_limit"'
  }
  {
    name: 'tick-late'
    description: 'The minute timer has not ended well for ten minutes: nothing is taken over, finished or promoted. Fires until the first deployment of the app.'
    severity: 1
    window: 'PT10M'
    frequency: 'PT5M'
    operator: 'LessThan'
    threshold: 1
    query: 'customMetrics | where name == "signalbox.tick.duration" and tostring(customDimensions.outcome) == "ok"'
  }
  {
    name: 'tick-failures'
    description: 'The timer cannot look at runs, groups or definitions, again and again.'
    severity: 2
    window: 'PT15M'
    frequency: 'PT15M'
    operator: 'GreaterThan'
    threshold: 10
    // A line with the stack of an error is in `exceptions`.
    query: 'union traces, exceptions | where tostring(customDimensions.action) == "tick_item_failed"'
  }
  {
    name: 'function-errors'
    description: 'Functions fail: events and messages are delivered again, for a time. Refusals over HTTP do not count.'
    severity: 1
    window: 'PT15M'
    frequency: 'PT5M'
    operator: 'GreaterThan'
    threshold: 5
    // How the host names a call depends on what calls; what is no call over HTTP has no such code.
    query: 'requests | where success == false and not(coalesce(toint(resultCode), 0) between (400 .. 499))'
  }
]

module alert 'br/public:avm/res/insights/scheduled-query-rule:0.6.0' = [for rule in rules: {
  name: 'alert-${rule.name}'
  params: {
    name: 'signalbox-${rule.name}-${token}'
    alertDisplayName: 'Signalbox: ${rule.name}'
    alertDescription: rule.description
    location: location
    tags: tags
    scopes: [
      insightsId
    ]
    // The compiler forgets, in a loop, that these are among those allowed.
    severity: any(rule.severity)
    windowSize: rule.window
    evaluationFrequency: rule.frequency
    autoMitigate: true
    criterias: {
      allOf: [
        {
          query: rule.query
          timeAggregation: 'Count'
          operator: rule.operator
          threshold: rule.threshold
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroupResourceIds: actionGroupIds
    }
  }
}]

// The broker's own dead-letter queues: what ended the functions' process again and again, or was not taken for
// its whole time.
resource crashes 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'signalbox-broker-dead-letters-${token}'
  location: 'global'
  tags: tags
  properties: {
    description: 'Messages were given up by Service Bus after maxDeliveryCount deliveries, or when their time was over: in the dead-letter queue of the queue or the subscription.'
    severity: 1
    enabled: true
    scopes: [
      namespaceId
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'dead letters'
          metricNamespace: 'Microsoft.ServiceBus/namespaces'
          metricName: 'DeadletteredMessages'
          // Not what readers of outcomes leave lying in subscriptions of theirs.
          dimensions: [
            {
              name: 'EntityName'
              operator: 'Include'
              values: [
                eventsQueue
                eventsTopic
              ]
            }
          ]
          timeAggregation: 'Maximum'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    actions: map(actionGroupIds, id => {
      actionGroupId: id
    })
  }
}
