// Logs, metrics and traces. Nobody gets in with a key.

@description('What makes names unique.')
param token string

@description('Region.')
param location string

@description('Tags of everything.')
param tags object

@description('Addresses that alerts are sent to, separated by commas.')
param alertEmails string

var addresses = filter(map(split(alertEmails, ','), one => trim(one)), one => !empty(one))

module logs 'br/public:avm/res/operational-insights/workspace:0.16.1' = {
  name: 'logs'
  params: {
    name: 'log-${token}'
    location: location
    tags: tags
    dataRetention: 30
    features: {
      disableLocalAuth: true
    }
  }
}

module insights 'br/public:avm/res/insights/component:0.8.0' = {
  name: 'insights'
  params: {
    name: 'appi-${token}'
    location: location
    tags: tags
    workspaceResourceId: logs.outputs.resourceId
    disableLocalAuth: true
    disableIpMasking: false
  }
}

module people 'br/public:avm/res/insights/action-group:0.8.0' = if (!empty(addresses)) {
  name: 'people'
  params: {
    name: 'ag-${token}'
    groupShortName: 'signalbox'
    tags: tags
    emailReceivers: map(addresses, one => {
      name: one
      emailAddress: one
      useCommonAlertSchema: true
    })
  }
}

output insightsId string = insights.outputs.resourceId
output insightsName string = insights.outputs.name
output insightsConnectionString string = insights.outputs.connectionString
output actionGroupIds array = empty(addresses) ? [] : [people.?outputs.resourceId ?? '']
