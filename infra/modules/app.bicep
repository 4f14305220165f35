// The function app, on Flex Consumption.

@description('Name of the function app.')
param name string

@description('Name of its plan.')
param planName string

@description('Region.')
param location string

@description('Tags of everything.')
param tags object

@description('The most instances at once.')
param maximumInstanceCount int

@allowed([
  512
  2048
  4096
])
@description('Memory of an instance, in megabytes.')
param instanceMemoryMB int

@description('Subnet that it reaches others from; none when empty.')
param functionSubnetId string

@description('Subnet for its private endpoint; a public address when empty.')
param privateEndpointSubnetId string

@description('Private DNS zones, separated by commas.')
param privateDnsZoneIds string

@description('The identity it signs in with.')
param identityId string

@description('Client ID of that identity.')
param identityClientId string

@description('Where telemetry goes. No secret: no key is accepted there.')
param insightsConnectionString string

@description('Storage account of the Functions host.')
param hostAccount string

@description('Container of the deployed package, in it.')
param packageContainer string

@description('Entra application in front of the HTTP API; keys when empty.')
param authenticationClientId string

@description('<name>=<value>, separated by commas: settings.<name> in expressions.')
param variables string

@description('Settings of Signalbox.')
param settings object

var blobs = 'https://${hostAccount}.blob.${environment().suffixes.storage}'
var closed = !empty(privateEndpointSubnetId)
var zones = filter(split(privateDnsZoneIds, ','), id => endsWith(id, '/privatelink.azurewebsites.net'))
var named = filter(map(split(variables, ','), one => trim(one)), one => !empty(one))
var variableSettings = toObject(named, one => 'SIGNALBOX_VAR_${toUpper(split(one, '=')[0])}', one => substring(one, indexOf(one, '=') + 1))

module plan 'br/public:avm/res/web/serverfarm:0.7.0' = {
  name: 'plan'
  params: {
    name: planName
    location: location
    tags: tags
    skuName: 'FC1'
    reserved: true
  }
}

module site 'br/public:avm/res/web/site:0.23.1' = {
  name: 'function-app'
  params: {
    name: name
    location: location
    tags: union(tags, {
      'azd-service-name': 'api'
    })
    kind: 'functionapp,linux'
    serverFarmResourceId: plan.outputs.resourceId
    managedIdentities: {
      userAssignedResourceIds: [
        identityId
      ]
    }
    httpsOnly: true
    publicNetworkAccess: closed ? 'Disabled' : 'Enabled'
    virtualNetworkSubnetResourceId: empty(functionSubnetId) ? null : functionSubnetId
    privateEndpoints: closed ? [
      {
        service: 'sites'
        subnetResourceId: privateEndpointSubnetId
        privateDnsZoneGroup: empty(zones) ? null : {
          privateDnsZoneGroupConfigs: map(zones, id => {
            privateDnsZoneResourceId: id
          })
        }
      }
    ] : []
    basicPublishingCredentialsPolicies: [
      {
        name: 'ftp'
        allow: false
      }
      {
        name: 'scm'
        allow: false
      }
    ]
    siteConfig: {
      alwaysOn: false
      minTlsVersion: '1.2'
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${blobs}/${packageContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: '3.13'
      }
      scaleAndConcurrency: {
        maximumInstanceCount: maximumInstanceCount
        instanceMemoryMB: instanceMemoryMB
      }
    }
    configs: any(concat([
      {
        name: 'appsettings'
        properties: union({
          APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
          APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
          // The app sends its log itself, with the fields that alerts ask for; host.json says so to the host.
          PYTHON_ENABLE_OPENTELEMETRY: 'true'
          // Which identity DefaultAzureCredential signs in with.
          AZURE_CLIENT_ID: identityClientId
          AzureWebJobsStorage__blobServiceUri: blobs
          AzureWebJobsStorage__queueServiceUri: 'https://${hostAccount}.queue.${environment().suffixes.storage}'
          AzureWebJobsStorage__tableServiceUri: 'https://${hostAccount}.table.${environment().suffixes.storage}'
          AzureWebJobsStorage__credential: 'managedidentity'
          AzureWebJobsStorage__clientId: identityClientId
          ServiceBusConnection__credential: 'managedidentity'
          ServiceBusConnection__clientId: identityClientId
          SIGNALBOX_PLATFORM_AUTHENTICATION: empty(authenticationClientId) ? 'false' : 'true'
        }, settings, variableSettings)
      }
    ], empty(authenticationClientId) ? [] : [
      {
        name: 'authsettingsV2'
        properties: {
          platform: {
            enabled: true
          }
          globalValidation: {
            requireAuthentication: true
            unauthenticatedClientAction: 'Return401'
            // Event Grid comes with the extension's own key.
            excludedPaths: ['/runtime/webhooks/EventGrid']
          }
          identityProviders: {
            azureActiveDirectory: {
              enabled: true
              registration: {
                clientId: authenticationClientId
                openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
              }
              validation: {
                allowedAudiences: ['api://${authenticationClientId}', authenticationClientId]
              }
            }
          }
        }
      }
    ]))
  }
}

output id string = site.outputs.resourceId
output name string = site.outputs.name
output url string = 'https://${site.outputs.defaultHostname}'
