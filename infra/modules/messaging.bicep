// Service Bus: the queue and the topic that messages come by, the topic that outcomes go to.

@description('Name of the namespace.')
param name string

@description('Region.')
param location string

@description('Tags of everything.')
param tags object

@allowed([
  'Standard'
  'Premium'
])
@description('Tier.')
param sku string

@description('Queue that messages are taken from.')
param eventsQueue string

@description('Topic that messages are taken from.')
param eventsTopic string

@description('Subscription of the app to it.')
param eventsSubscription string

@description('Topic that outcomes of runs are published to.')
param outcomesTopic string

@description('Subnet for private endpoints; a public address when empty.')
param privateEndpointSubnetId string

@description('Private DNS zones, separated by commas.')
param privateDnsZoneIds string

var closed = !empty(privateEndpointSubnetId)
var zones = filter(split(privateDnsZoneIds, ','), id => endsWith(id, '/privatelink.servicebus.windows.net'))

module namespace 'br/public:avm/res/service-bus/namespace:0.17.0' = {
  name: 'namespace'
  params: {
    name: name
    location: location
    tags: tags
    skuObject: sku == 'Premium' ? {
      name: sku
      capacity: 1
    } : {
      name: sku
    }
    zoneRedundant: sku == 'Premium'
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: closed ? 'Disabled' : 'Enabled'
    // Event Grid puts events into the queue as a trusted service.
    networkRuleSets: closed ? {
      publicNetworkAccess: 'Disabled'
      defaultAction: 'Deny'
      trustedServiceAccessEnabled: true
    } : null
    privateEndpoints: closed ? [
      {
        service: 'namespace'
        subnetResourceId: privateEndpointSubnetId
        privateDnsZoneGroup: empty(zones) ? null : {
          privateDnsZoneGroupConfigs: map(zones, id => {
            privateDnsZoneResourceId: id
          })
        }
      }
    ] : []
    queues: [
      {
        name: eventsQueue
        // Senders that repeat a MessageId are heard once.
        requiresDuplicateDetection: true
        duplicateDetectionHistoryTimeWindow: 'PT10M'
        // The functions give back slowly: ten times are about six minutes of outage.
        maxDeliveryCount: 10
        lockDuration: 'PT5M'
        deadLetteringOnMessageExpiration: true
        defaultMessageTimeToLive: 'P14D'
      }
    ]
    topics: [
      {
        name: eventsTopic
        requiresDuplicateDetection: true
        duplicateDetectionHistoryTimeWindow: 'PT10M'
        defaultMessageTimeToLive: 'P14D'
        subscriptions: [
          {
            name: eventsSubscription
            maxDeliveryCount: 10
            lockDuration: 'PT5M'
            deadLetteringOnMessageExpiration: true
            defaultMessageTimeToLive: 'P14D'
          }
        ]
      }
      {
        name: outcomesTopic
        // Outcomes are told at least once; the same one twice within ten minutes is kept once.
        requiresDuplicateDetection: true
        duplicateDetectionHistoryTimeWindow: 'PT10M'
        defaultMessageTimeToLive: 'P14D'
      }
    ]
  }
}

output id string = namespace.outputs.resourceId
output name string = namespace.outputs.name
output host string = '${namespace.outputs.name}.servicebus.windows.net'
output queueId string = '${namespace.outputs.resourceId}/queues/${eventsQueue}'
