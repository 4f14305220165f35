// A virtual network for a closed deployment, where there is none to bring: both subnets, and the private
// DNS zones of everything that main.bicep makes endpoints for. Deployed by itself, before `azd up`:
// docs/deploy.md, closed networks. Its outputs are named as the variables that they are the values of.

@description('Name of the network.')
param name string = 'vnet-signalbox'

@description('Region: that of the deployment.')
param location string = resourceGroup().location

@description('Addresses of the network, at least a /23.')
param addresses string = '10.20.0.0/23'

var functionSubnet = 'functions'
var endpointSubnet = 'endpoints'
var zones = [
  'privatelink.blob.${environment().suffixes.storage}'
  'privatelink.queue.${environment().suffixes.storage}'
  'privatelink.table.${environment().suffixes.storage}'
  'privatelink.file.${environment().suffixes.storage}'
  'privatelink.servicebus.windows.net'
  'privatelink.azurewebsites.net'
  'privatelink.vaultcore.azure.net'
  'privatelink.api.azureml.ms'
]

module network 'br/public:avm/res/network/virtual-network:0.6.1' = {
  name: 'network'
  params: {
    name: name
    location: location
    addressPrefixes: [
      addresses
    ]
    subnets: [
      {
        name: functionSubnet
        addressPrefix: cidrSubnet(addresses, 24, 0)
        // What Flex Consumption asks for.
        delegation: 'Microsoft.App/environments'
      }
      {
        name: endpointSubnet
        addressPrefix: cidrSubnet(addresses, 24, 1)
        privateEndpointNetworkPolicies: 'Disabled'
      }
    ]
  }
}

module zone 'br/public:avm/res/network/private-dns-zone:0.7.1' = [for one in zones: {
  name: 'zone-${uniqueString(one)}'
  params: {
    name: one
    virtualNetworkLinks: [
      {
        virtualNetworkResourceId: network.outputs.resourceId
        registrationEnabled: false
      }
    ]
  }
}]

output INFRA_FUNCTION_SUBNET_ID string = '${network.outputs.resourceId}/subnets/${functionSubnet}'
output INFRA_PRIVATE_ENDPOINT_SUBNET_ID string = '${network.outputs.resourceId}/subnets/${endpointSubnet}'
output INFRA_PRIVATE_DNS_ZONE_IDS string = join(map(zones, one => resourceId('Microsoft.Network/privateDnsZones', one)), ',')
